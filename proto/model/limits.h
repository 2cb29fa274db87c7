/* limits: every bound on what comes off the wire, by name. Reaching one is counted, never fatal. */
#ifndef BW_MODEL_LIMITS_H
#define BW_MODEL_LIMITS_H

#define NAME_MAX_LEN       64  /* agent and tenant names, including NUL */
#define TITLE_MAX_LEN      128 /* an agent's name as people are told it: the name, or tenant/name where that is ambiguous */
#define IFNAME_LEN         16  /* as IFNAMSIZ */
#define REASON_MAX_LEN     160 /* short human reasons, including NUL */
#define FACT_KEY_MAX       160
#define FACT_VALUE_MAX     1024
#define MSG_BYTES_MAX      (1 << 20) /* one message, encoded */
#define REPORT_ROWS_MAX    4096      /* watch rows in one report */
#define PLAN_PEERS_MAX     4096
#define ROUND_FLOWS_MAX    64
#define ROUND_POINTS_MAX   32           /* capture points of one agent in one round */
#define FLOW_PROBES_MAX    64           /* probes per flow or epoch: one bitmap */
#define FLOW_MACS_MAX      4            /* different machines that answered one flow */
#define ROUND_DROPS_MAX    256          /* rows of kernel drops, and of rules, of one agent in one round: each */
#define ROUND_TIMES_MAX    512          /* rows of times of one agent in one round */
#define FRAMES_MAX         2048         /* kept frames of one agent in one round ... */
#define FRAMES_KEEP_MAX    (512 * 1024) /* ... and their bytes */
#define FRAME_KEEP_MAX     320          /* of one */
#define SNAP_TEXTS_MAX     512
#define SNAP_VLANS_MAX     4096
#define SNAP_LINKS_MAX     1024
#define SNAP_ADDRS_MAX     2048
#define SNAP_ROUTES_MAX    2048
#define SNAP_RULES_MAX     256
#define SNAP_NEIGHS_MAX    4096
#define SNAP_FDB_MAX       8192
#define SNAP_VALUES_MAX    1024 /* sysctls, counters: each */
#define SNAP_LISTENERS_MAX 1024
#define SNAP_VPORTS_MAX    2048 /* VMs' adapters, as their platform has them */
#define SNAP_VSWITCHES_MAX 256
#define SNAP_SWPORTS_MAX   1024
#define SNAP_PNOTES_MAX    1024
#define FW_CHAINS_MAX      512
#define FW_RULES_MAX       4096  /* in all */
#define FW_MATCHES_MAX     16    /* per rule */
#define FW_VALUES_MAX      64    /* per match */
#define FW_VALUES_ALL_MAX  65536 /* in all */
#define ENDPOINTS_MAX      16    /* probe interfaces per agent */
#define RELAY_BYTES_MAX    65536 /* one relayed frame */
#define SERVICES_MAX       16    /* TCP services one machine offers */
#define SERVICE_START_MAX  256   /* the command that starts one, including NUL */
#define QUERY_ARGS_MAX     16
#define ANSWER_BLOB_MAX    (256 * 1024) /* one part of a file that an answer brings along */

#endif
