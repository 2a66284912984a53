/* Integers of 384 bits, two's complement: batch norm's quotients have up to 250. */
#ifndef GRADLOOM_WIDE_H
#define GRADLOOM_WIDE_H

#include <stdint.h>

#define GRADLOOM_LIMBS 12

struct gradloom_wide {
    uint32_t limb[GRADLOOM_LIMBS]; /* lowest first */
};

struct gradloom_wide gradloom_wide(int64_t value);
struct gradloom_wide gradloom_plus(struct gradloom_wide a, struct gradloom_wide b);
struct gradloom_wide gradloom_minus(struct gradloom_wide a, struct gradloom_wide b);
struct gradloom_wide gradloom_times(struct gradloom_wide a, struct gradloom_wide b);
struct gradloom_wide gradloom_left(struct gradloom_wide a, unsigned shift);
int gradloom_negative(const struct gradloom_wide *a);

/* Floor of a / b, b positive. */
struct gradloom_wide gradloom_over(struct gradloom_wide a, struct gradloom_wide b);

/* Floor of the square root, a at least 0 and its root below 2**62. */
int64_t gradloom_root(struct gradloom_wide a);

/* a, or the limit of that sign where it is beyond. */
int64_t gradloom_clip(struct gradloom_wide a, int64_t limit);

#endif
