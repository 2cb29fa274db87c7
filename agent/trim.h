/* trim: gives back the memory that only starting, or a round, needed. */
#ifndef BW_AGENT_TRIM_H
#define BW_AGENT_TRIM_H

/* Free heap goes back to the kernel. Unchanged pages of programs and libraries (relocation tables, initialisation code:
 * about half of what is resident after the start) are unmapped; the kernel maps again what is used, from its cache. */
void trim_memory(void);

#endif
