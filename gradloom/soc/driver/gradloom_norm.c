/* Batch norm's scalars in integers, as golden/batchnorm.py finds them; the machine does everything that is done for each word. */
#include "gradloom_math.h"
#include "gradloom_wide.h"

#define ROOT_FRAC 30   /* fraction bits of a reciprocal root */
#define EPSILON_LOG 16 /* the epsilon under the root is 2**-16 */
#define RUN_FRAC 16    /* bits that running statistics keep below x's step, and below its square */
#define RUN_SHIFT 3    /* running statistics move by an eighth of the distance */
#define GUARD 14       /* bits that gradients of gamma and beta keep until they are rounded away */
#define SCALAR_BITS 18
#define SCALAR_MAX ((INT64_C(1) << (SCALAR_BITS - 1)) - 1)
#define SUM_LIMIT (INT64_C(1) << (GRADLOOM_ACC_WIDTH - 1))

typedef struct gradloom_wide wide;

/* One channel: what it was found to be. Means are total / count. */
struct channel {
    int64_t gamma, beta, total, count, root;
    wide spread; /* variance * count**2 */
    int64_t delta_total;
    wide joint; /* count * (sum of delta*x) - (sum of x) * (sum of delta) */
};

/* An affine's s0*u + s1*v + s2. */
struct scalars {
    int64_t s0, s1, s2;
};

static wide product(int64_t a, int64_t b) { return gradloom_times(gradloom_wide(a), gradloom_wide(b)); }

/* numerator * 2**power / denominator, rounded half up. */
static wide ratio(wide numerator, wide denominator, int power)
{
    if (power >= 0)
        numerator = gradloom_left(numerator, (unsigned)power);
    else
        denominator = gradloom_left(denominator, (unsigned)-power);
    return gradloom_over(gradloom_plus(gradloom_left(numerator, 1), denominator), gradloom_left(denominator, 1));
}

static int64_t small(wide a) { return gradloom_clip(a, INT64_MAX); }

/* 1 / sqrt(square / norm * 4**-frac + 2**-16) */
static int64_t reciprocal_root(wide square, wide norm, unsigned frac)
{
    const wide numerator = gradloom_left(norm, 2 * frac + EPSILON_LOG + 2 * ROOT_FRAC);
    const wide denominator = gradloom_plus(gradloom_left(square, EPSILON_LOG), gradloom_left(norm, 2 * frac));

    return gradloom_root(gradloom_over(numerator, denominator));
}

/* Bits `at` and up of a record of words, as a sum of the accumulator's width. */
static int64_t sum_at(const uint8_t *record, unsigned at)
{
    uint64_t value = 0;
    unsigned n;

    for (n = 0; n < GRADLOOM_ACC_WIDTH; ++n, ++at) {
        const uint32_t word = (uint32_t)gradloom_get(record + at / GRADLOOM_WIDTH * GRADLOOM_WORD_BYTES);

        value |= (uint64_t)(word >> at % GRADLOOM_WIDTH & 1) << n;
    }
    return (int64_t)value - (int64_t)((value & (uint64_t)SUM_LIMIT) << 1);
}

/* Running means, then variances. */
static int64_t running(const uint8_t *memory, const struct gradloom_image_norm *n, uint32_t place)
{
    uint64_t value = 0;
    unsigned byte;

    for (byte = 0; byte < 8; ++byte)
        value |= (uint64_t)memory[n->running_address + 8 * place + byte] << 8 * byte;
    return (int64_t)value;
}

static void set_running(uint8_t *memory, const struct gradloom_image_norm *n, uint32_t place, int64_t value)
{
    unsigned byte;

    for (byte = 0; byte < 8; ++byte)
        memory[n->running_address + 8 * place + byte] = (uint8_t)((uint64_t)value >> 8 * byte);
}

static void look(const uint8_t *memory, const struct gradloom_image_norm *n, uint32_t part, uint32_t number,
                 struct channel *c)
{
    const uint32_t record = number * GRADLOOM_RECORD_BRICKS * GRADLOOM_BRICK_BYTES;
    const uint8_t *parameters = memory + n->parameters_address + number * GRADLOOM_WORD_BYTES;

    c->gamma = gradloom_get(parameters);
    c->beta = gradloom_get(parameters + gradloom_pitch(n->channels));
    if (part == GRADLOOM_IMAGE_NORM_FROZEN) {
        c->count = INT64_C(1) << RUN_FRAC;
        c->total = running(memory, n, number);
        c->spread = gradloom_wide(running(memory, n, n->channels + number));
        c->root = reciprocal_root(c->spread, gradloom_wide(c->count), n->x_frac);
        return;
    }
    c->count = n->count;
    c->total = sum_at(memory + n->sums_address + record, 0);
    c->spread = gradloom_minus(product(c->count, sum_at(memory + n->sums_address + record, GRADLOOM_ACC_WIDTH)),
                               product(c->total, c->total));
    if (part == GRADLOOM_IMAGE_NORM_RUNNING)
        return;
    c->root = reciprocal_root(c->spread, product(c->count, c->count), n->x_frac);
    if (part == GRADLOOM_IMAGE_NORM_BACKWARD) {
        const uint8_t *products = memory + n->products_address + record;

        c->delta_total = sum_at(products, 0);
        c->joint = gradloom_minus(product(c->count, sum_at(products, GRADLOOM_ACC_WIDTH)),
                                  product(c->total, c->delta_total));
    }
}

/* The channel's scalars under a shift; 0 where they do not fit. */
static int fitted(const struct gradloom_image_norm *n, uint32_t part, const struct channel *c, int shift,
                  struct scalars *s)
{
    const wide one = gradloom_wide(1), count = gradloom_wide(c->count);
    const wide first = product(c->gamma, c->root);
    const int64_t extent = INT64_C(1) << (GRADLOOM_WIDTH - 1);
    int64_t size0, size1, size2;

    if (part == GRADLOOM_IMAGE_NORM_BACKWARD) {
        const int power = (int)n->below_frac - (int)n->weights_frac - ROOT_FRAC - (int)n->deltas_frac;
        const wide square = product(c->root, c->root);
        const wide second = gradloom_times(gradloom_minus(gradloom_wide(0), first), gradloom_times(square, c->joint));

        s->s0 = gradloom_clip(ratio(first, one, power + shift), SCALAR_MAX);
        s->s1 = gradloom_clip(ratio(second, product(c->count, c->count),
                                    power - 2 * ROOT_FRAC - 2 * (int)n->x_frac + shift), SCALAR_MAX);
        s->s2 = small(gradloom_minus(gradloom_wide(0), ratio(gradloom_plus(product(s->s0, c->delta_total),
                                                                          product(s->s1, c->total)), count, 0)));
    } else {
        const int power = (int)n->activations_frac - (int)n->x_frac - (int)n->weights_frac - ROOT_FRAC;
        const wide beta = ratio(gradloom_wide(c->beta), one, shift + (int)n->activations_frac - (int)n->weights_frac);

        s->s0 = gradloom_clip(ratio(first, one, power + shift), SCALAR_MAX);
        s->s1 = 0;
        s->s2 = small(gradloom_minus(beta, ratio(product(s->s0, c->total), count, 0)));
    }
    size0 = s->s0 < 0 ? -s->s0 : s->s0;
    size1 = s->s1 < 0 ? -s->s1 : s->s1;
    size2 = s->s2 < 0 ? -s->s2 : s->s2;
    return size0 < SCALAR_MAX && size1 < SCALAR_MAX && size2 < SUM_LIMIT && (size0 + size1) * extent + size2 < SUM_LIMIT;
}

/* An entry of the table: s0, s1 and s2, lowest bits first, as words. */
static void pack(uint8_t *at, const struct scalars *s)
{
    const int64_t values[4] = {s->s0, s->s1, s->s2, 0};
    const unsigned bits[4] = {SCALAR_BITS, SCALAR_BITS, GRADLOOM_ACC_WIDTH, ~0u};
    unsigned value = 0, bit = 0, n, m;

    for (n = 0; n < GRADLOOM_ENTRY_BRICKS * GRADLOOM_BRICK; ++n, at += GRADLOOM_WORD_BYTES) {
        uint32_t word = 0;

        for (m = 0; m < GRADLOOM_WIDTH; ++m) {
            word |= (uint32_t)((uint64_t)values[value] >> bit % 64 & 1) << m;
            if (++bit == bits[value]) {
                ++value;
                bit = 0;
            }
        }
        gradloom_put(at, (int32_t)word - (int32_t)((word >> (GRADLOOM_WIDTH - 1) & 1) << GRADLOOM_WIDTH));
    }
}

static int write_scalars(uint8_t *memory, const struct gradloom_image_norm *n, uint32_t part, int *shift)
{
    const uint32_t table = part == GRADLOOM_IMAGE_NORM_BACKWARD ? n->backward_address : n->forward_address;
    const uint32_t entries = gradloom_pitch(n->channels) / GRADLOOM_WORD_BYTES;
    struct channel c;
    struct scalars s;
    uint32_t number;
    int lower;

    /* The largest shift under which every channel's fit; at zero they are clipped. */
    *shift = GRADLOOM_MAX_SHIFT;
    do {
        lower = 0;
        for (number = 0; number < n->channels; ++number) {
            look(memory, n, part, number, &c);
            while (!fitted(n, part, &c, *shift, &s) && *shift) {
                --*shift;
                lower = 1;
            }
        }
    } while (lower);
    for (number = 0; number < entries; ++number) {
        s.s0 = s.s1 = s.s2 = 0;
        if (number < n->channels) {
            look(memory, n, part, number, &c);
            fitted(n, part, &c, *shift, &s);
            if (s.s2 >= SUM_LIMIT || s.s2 < -SUM_LIMIT)
                return GRADLOOM_OVERFLOW;
        }
        pack(memory + table + number * GRADLOOM_ENTRY_BRICKS * GRADLOOM_BRICK_BYTES, &s);
    }
    return GRADLOOM_OK;
}

static void write_gradient(uint8_t *memory, const struct gradloom_image_norm *n, uint32_t rounding, uint32_t key)
{
    const int power = (int)n->gradients_frac + GUARD - (int)n->deltas_frac;
    const uint32_t pitch = gradloom_pitch(n->channels);
    struct channel c;
    uint32_t number;

    for (number = 0; number < pitch / GRADLOOM_WORD_BYTES; ++number) {
        uint8_t *at = memory + n->gradient_address + number * GRADLOOM_WORD_BYTES;
        int64_t gamma, beta;

        gradloom_put(at, 0);
        gradloom_put(at + pitch, 0);
        if (number >= n->channels)
            continue;
        look(memory, n, GRADLOOM_IMAGE_NORM_BACKWARD, number, &c);
        gamma = gradloom_clip(ratio(gradloom_times(gradloom_wide(c.root), c.joint), gradloom_wide(c.count),
                                    power - ROOT_FRAC - (int)n->x_frac), SUM_LIMIT - 1);
        beta = gradloom_clip(ratio(gradloom_wide(c.delta_total), gradloom_wide(1), power), SUM_LIMIT - 1);
        gradloom_put(at, gradloom_convert(gamma, GUARD, rounding, key, number));
        gradloom_put(at + pitch, gradloom_convert(beta, GUARD, rounding, key, n->channels + number));
    }
}

static void move_running(uint8_t *memory, const struct gradloom_image_norm *n)
{
    struct channel c;
    uint32_t number, place;

    for (number = 0; number < n->channels; ++number) {
        int64_t of_batch[2];

        look(memory, n, GRADLOOM_IMAGE_NORM_RUNNING, number, &c);
        of_batch[0] = small(ratio(gradloom_wide(c.total), gradloom_wide(c.count), RUN_FRAC));
        of_batch[1] = small(ratio(c.spread, product(c.count, c.count), RUN_FRAC));
        for (place = 0; place < 2; ++place) {
            const uint32_t at = place * n->channels + number;
            const int64_t before = running(memory, n, at);

            set_running(memory, n, at,
                        before + gradloom_floor(of_batch[place] - before + (1 << (RUN_SHIFT - 1)), RUN_SHIFT));
        }
    }
}

int gradloom_norm(uint8_t *memory, const struct gradloom_image_norm *n, uint32_t part, uint32_t rounding, uint32_t key,
                  int *shift)
{
    int result;

    *shift = -1;
    if (part == GRADLOOM_IMAGE_NORM_RUNNING) {
        move_running(memory, n);
        return GRADLOOM_OK;
    }
    result = write_scalars(memory, n, part, shift);
    if (part == GRADLOOM_IMAGE_NORM_BACKWARD)
        write_gradient(memory, n, rounding, key);
    return result;
}
