# agents and collector in one process, on a fake clock and a fake network
add_library(sim_world STATIC sim/sim.c sim/sim_world.c sim/sim_net.c sim/sim_agent.c sim/sim_collector.c)
target_link_libraries(sim_world PUBLIC collector_core agent_core)
bw_test(sim property sim_world)
bw_test(sim scenarios sim_world)

# faults by thousands: [SEED] [COUNT]; here a few of each
add_executable(test_volume sim/volume.c sim/volume_net.c sim/volume_world.c sim/volume_faults.c)
target_link_libraries(test_volume PRIVATE collector_core agent_core)
set_target_properties(test_volume PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/sim)
add_test(NAME sim/volume COMMAND test_volume 1 400)
set_tests_properties(sim/volume PROPERTIES LABELS sim TIMEOUT 120)
