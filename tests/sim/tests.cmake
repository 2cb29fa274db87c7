# agents and collector in one process, on a fake clock and a fake network
add_library(sim_world STATIC sim/sim.c sim/sim_world.c sim/sim_net.c sim/sim_agent.c sim/sim_collector.c)
target_link_libraries(sim_world PUBLIC collector_core agent_core)
bw_test(sim property sim_world)
bw_test(sim scenarios sim_world)

# faults by thousands, and days of many pairs: here a few of each
add_library(sim_volume STATIC sim/volume_round.c sim/volume_net.c sim/volume_world.c sim/volume_faults.c sim/volume_pairs.c)
target_link_libraries(sim_volume PUBLIC collector_core agent_core)
function(bw_volume name)
  add_executable(test_${name} sim/${name}.c)
  target_link_libraries(test_${name} PRIVATE sim_volume)
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/sim)
  add_test(NAME sim/${name} COMMAND test_${name} ${ARGN})
  set_tests_properties(sim/${name} PROPERTIES LABELS sim TIMEOUT 120)
endfunction()
bw_volume(volume)
bw_volume(daylong 1 40 60)

# how long it takes until small losses are found: here of a few
add_executable(test_gray sim/gray.c)
target_link_libraries(test_gray PRIVATE sim_world)
set_target_properties(test_gray PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/sim)
add_test(NAME sim/gray COMMAND test_gray 1 6)
set_tests_properties(sim/gray PROPERTIES LABELS sim TIMEOUT 120)
