/* Integers of 384 bits; see gradloom_wide.h. Short rather than fast: a step divides some times a channel. */
#include "gradloom_wide.h"

typedef struct gradloom_wide wide;

wide gradloom_wide(int64_t value)
{
    wide result;
    unsigned n;

    result.limb[0] = (uint32_t)value;
    result.limb[1] = (uint32_t)((uint64_t)value >> 32);
    for (n = 2; n < GRADLOOM_LIMBS; ++n)
        result.limb[n] = value < 0 ? UINT32_MAX : 0;
    return result;
}

int gradloom_negative(const wide *a) { return (int)(a->limb[GRADLOOM_LIMBS - 1] >> 31); }

wide gradloom_plus(wide a, wide b)
{
    uint64_t carry = 0;
    unsigned n;

    for (n = 0; n < GRADLOOM_LIMBS; ++n) {
        carry += (uint64_t)a.limb[n] + b.limb[n];
        a.limb[n] = (uint32_t)carry;
        carry >>= 32;
    }
    return a;
}

wide gradloom_minus(wide a, wide b)
{
    uint64_t borrow = 0;
    unsigned n;

    for (n = 0; n < GRADLOOM_LIMBS; ++n) {
        const uint64_t difference = (uint64_t)a.limb[n] - b.limb[n] - borrow;

        a.limb[n] = (uint32_t)difference;
        borrow = difference >> 63;
    }
    return a;
}

static wide magnitude(wide a) { return gradloom_negative(&a) ? gradloom_minus(gradloom_wide(0), a) : a; }

wide gradloom_times(wide a, wide b)
{
    const int negative = gradloom_negative(&a) != gradloom_negative(&b);
    wide result = gradloom_wide(0);
    unsigned n, m;

    a = magnitude(a); /* most limbs are then zero */
    b = magnitude(b);
    for (n = 0; n < GRADLOOM_LIMBS; ++n) {
        uint64_t carry = 0;

        for (m = 0; a.limb[n] && n + m < GRADLOOM_LIMBS; ++m) {
            carry += (uint64_t)a.limb[n] * b.limb[m] + result.limb[n + m];
            result.limb[n + m] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    return negative ? gradloom_minus(gradloom_wide(0), result) : result;
}

wide gradloom_left(wide a, unsigned shift)
{
    unsigned n;

    for (; shift >= 32; shift -= 32) {
        for (n = GRADLOOM_LIMBS - 1; n > 0; --n)
            a.limb[n] = a.limb[n - 1];
        a.limb[0] = 0;
    }
    if (shift) {
        for (n = GRADLOOM_LIMBS - 1; n > 0; --n)
            a.limb[n] = a.limb[n] << shift | a.limb[n - 1] >> (32 - shift);
        a.limb[0] <<= shift;
    }
    return a;
}

/* Bits up to the highest one of a, which is at least 0. */
static int bits(const wide *a)
{
    int bit = 32 * GRADLOOM_LIMBS;

    while (bit && !a->limb[bit / 32 - 1])
        bit -= 32;
    while (bit && !(a->limb[(bit - 1) / 32] >> (bit - 1) % 32 & 1))
        --bit;
    return bit;
}

static wide halved(wide a)
{
    unsigned n;

    for (n = 0; n < GRADLOOM_LIMBS - 1; ++n)
        a.limb[n] = a.limb[n] >> 1 | a.limb[n + 1] << 31;
    a.limb[n] >>= 1;
    return a;
}

/* a at least 0, b positive: a bit of the quotient at a time, none before it can be a one. */
static wide quotient(wide a, wide b)
{
    wide result = gradloom_wide(0);
    int bit = bits(&a) - bits(&b);

    if (bit < 0)
        return result;
    for (b = gradloom_left(b, (unsigned)bit); bit >= 0; --bit, b = halved(b)) {
        const wide less = gradloom_minus(a, b);

        if (!gradloom_negative(&less)) {
            a = less;
            result.limb[bit / 32] |= UINT32_C(1) << bit % 32;
        }
    }
    return result;
}

wide gradloom_over(wide a, wide b)
{
    const wide minus_one = gradloom_wide(-1);

    if (!gradloom_negative(&a))
        return quotient(a, b);
    /* floor(a / b) = -1 - floor((-1 - a) / b) */
    return gradloom_minus(minus_one, quotient(gradloom_minus(minus_one, a), b));
}

int64_t gradloom_root(wide a)
{
    int64_t result = 0;
    int bit = (bits(&a) + 1) / 2 - 1;

    for (; bit >= 0; --bit) {
        const int64_t more = result | INT64_C(1) << bit;
        const wide rest = gradloom_minus(a, gradloom_times(gradloom_wide(more), gradloom_wide(more)));

        if (!gradloom_negative(&rest))
            result = more;
    }
    return result;
}

int64_t gradloom_clip(wide a, int64_t limit)
{
    const wide above = gradloom_minus(a, gradloom_wide(limit)), below = gradloom_plus(a, gradloom_wide(limit));

    if (!gradloom_negative(&above))
        return limit;
    if (gradloom_negative(&below))
        return -limit;
    return (int64_t)(a.limb[0] | (uint64_t)a.limb[1] << 32);
}
