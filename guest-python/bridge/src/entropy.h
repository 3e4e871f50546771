/* Seeds of the fork's own for generators that nobody chose a seed for. */
#ifndef VIVARIUM_ENTROPY_H
#define VIVARIUM_ENTROPY_H

#include <stdbool.h>

/* Looks up what the others need; raises and returns false where the generator is not as expected. */
bool entropy_init(void);

/* At the end of an image's build: remembers the generators that every fork has to seed. */
bool entropy_arm(void);

/* Before anything else in a fork: seeds them, once. False: the failure is set, and the next call tries
 * again. */
bool entropy_renew(void);

#endif
