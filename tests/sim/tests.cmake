# agents and collector in one process, on a fake clock and a fake network
add_library(sim_world STATIC sim/sim.c sim/sim_world.c sim/sim_net.c sim/sim_agent.c sim/sim_collector.c)
target_link_libraries(sim_world PUBLIC collector_core agent_core)
bw_test(sim property sim_world)
bw_test(sim scenarios sim_world)
