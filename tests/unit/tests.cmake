bw_test(unit watch agent_core)
bw_test(unit exec agent_core)
