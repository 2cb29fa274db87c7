/* crew: PURE. Which machines a round keeps busy, and whether they have room for one more: what an agent does for many rounds at
 * once it does late, and late is what a round takes for lost. */
#ifndef BW_COLLECTOR_CREW_H
#define BW_COLLECTOR_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CREW_MAX           4  /* both ends and the hosts they are plugged into */
#define CREW_ROUNDS_MAX    12 /* of one machine at once; an agent refuses more than 16 */
#define CREW_AUTOMATIC_MAX 3  /* of them begun by ourselves */

struct crew {
	uint32_t member[CREW_MAX];
	size_t count;
	bool automatic;
};

void crew_add(struct crew *c, uint32_t member); /* once */

/* How many rounds of a machine run, as told one by one, against what `wanted` would add. */
struct crew_load {
	const struct crew *wanted;
	uint8_t all[CREW_MAX], automatic[CREW_MAX];
};
void crew_load_add(struct crew_load *l, const struct crew *running);
bool crew_has_room(const struct crew_load *l);

#endif
