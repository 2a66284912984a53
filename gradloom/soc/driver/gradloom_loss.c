/* Keyed rounding and softmax cross-entropy in integers; golden/keyed.py, golden/convert.py and golden/loss.py. */
#include "gradloom_math.h"

#define FINE 30 /* fraction bits of exponentials */
#define ONE (INT64_C(1) << FINE)
#define EXPONENT 24  /* fraction bits of the base-two exponent */
#define GUARD 14     /* bits the gradient keeps until they are rounded away */
#define LOSS_FRAC 16 /* fraction bits of the loss */
#define LOG2E INT64_C(1549082005)
#define LN2 INT64_C(744261118)

int32_t gradloom_get(const uint8_t *at)
{
#if GRADLOOM_WORD_BYTES == 2
    const int32_t word = at[0] | at[1] << 8;

    return word - ((word & 0x8000) << 1);
#else
    return (int32_t)(at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
#endif
}

void gradloom_put(uint8_t *at, int32_t word)
{
    unsigned n;

    for (n = 0; n < GRADLOOM_WORD_BYTES; ++n)
        at[n] = (uint8_t)((uint32_t)word >> 8 * n);
}

uint32_t gradloom_pitch(uint32_t channels)
{
    return (channels + GRADLOOM_BRICK - 1) / GRADLOOM_BRICK * GRADLOOM_BRICK_BYTES;
}

static uint16_t rotate(uint16_t half, unsigned turn) { return (uint16_t)(half << turn | half >> (16 - turn)); }

uint32_t gradloom_hash(uint32_t key, uint32_t index)
{
    static const uint16_t constants[6] = {0x9E37, 0x79B9, 0x7F4A, 0x7C15, 0xF39C, 0xC060};
    uint16_t low = (uint16_t)index, high = (uint16_t)(index >> 16), last;
    unsigned n;

    for (n = 0; n < 6; ++n) {
        high = (uint16_t)(rotate(high, 4) + low);
        low = (uint16_t)(rotate(low, 9) ^ high ^ rotate(high, 12) ^ (uint16_t)(key >> 16 * (n % 2)) ^ constants[n]);
    }
    last = (uint16_t)(rotate(low, 9) ^ high ^ rotate(high, 12));
    return (uint32_t)(uint16_t)(rotate(high, 7) ^ low ^ rotate(low, 1)) << 16 | last;
}

int64_t gradloom_floor(int64_t value, unsigned shift)
{
    /* A shift of a negative number is the compiler's choice in C. */
    return value >= 0 ? (int64_t)((uint64_t)value >> shift) : ~(int64_t)((uint64_t)~value >> shift);
}

int32_t gradloom_convert(int64_t sum, unsigned shift, uint32_t rounding, uint32_t key, uint32_t index)
{
    const int64_t low = -(INT64_C(1) << (GRADLOOM_WIDTH - 1)), high = -1 - low;
    const uint64_t step = UINT64_C(1) << shift;

    if (rounding == GRADLOOM_ROUNDING_STOCHASTIC)
        sum += (int64_t)(gradloom_hash(key, index) & (step - 1));
    else if (rounding == GRADLOOM_ROUNDING_NEAREST && shift)
        sum += (int64_t)(step / 2 - 1);
    sum = gradloom_floor(sum, shift);
    return (int32_t)(sum < low ? low : sum > high ? high : sum);
}

/* exp(-word * 2**-frac), FINE fraction bits. */
static int64_t exp_negative(int64_t word, uint32_t frac)
{
    static const int32_t roots[EXPONENT] = { /* 2**-(2**-i), FINE fraction bits */
        759250125,  902905651,  984625594,  1028218693, 1050733751, 1062175491, 1067942999, 1070838486,
        1072289173, 1073015252, 1073378477, 1073560135, 1073650976, 1073696399, 1073719111, 1073730468,
        1073736146, 1073738985, 1073740404, 1073741114, 1073741469, 1073741647, 1073741735, 1073741780};
    const int64_t t = word * LOG2E >> (frac + FINE - EXPONENT);
    int64_t value = ONE;
    unsigned i;

    for (i = 1; i <= EXPONENT; ++i)
        if (t >> (EXPONENT - i) & 1)
            value = value * roots[i - 1] >> FINE;
    return t >> EXPONENT > 62 ? 0 : value >> (t >> EXPONENT);
}

/* ln(word * 2**-FINE), LOSS_FRAC fraction bits, for words of one and more. */
static int64_t log_word(int64_t word)
{
    int64_t log2 = 0;
    unsigned n;

    for (; word >= 2 * ONE; word >>= 1)
        ++log2;
    for (n = 0; n < LOSS_FRAC + 2; ++n) {
        word = word * word >> FINE;
        log2 *= 2;
        if (word >= 2 * ONE) {
            word >>= 1;
            ++log2;
        }
    }
    return log2 * LN2 >> (FINE + 2);
}

int gradloom_cross_entropy(struct gradloom_loss *l, const uint8_t *logits, const uint16_t *labels, uint8_t *delta)
{
    const uint32_t pitch = gradloom_pitch(l->classes);
    uint32_t row, n;

    l->loss = 0;
    l->correct = 0;
    for (row = 0; row < l->batch; ++row, logits += pitch, delta += pitch) {
        int32_t top = gradloom_get(logits);
        uint32_t first = 0;
        int64_t total = 0;

        if (labels[row] >= l->classes)
            return GRADLOOM_BAD_LABEL;
        for (n = 1; n < l->classes; ++n)
            if (gradloom_get(logits + n * GRADLOOM_WORD_BYTES) > top) {
                top = gradloom_get(logits + n * GRADLOOM_WORD_BYTES);
                first = n;
            }
        for (n = 0; n < l->classes; ++n)
            total += exp_negative(top - gradloom_get(logits + n * GRADLOOM_WORD_BYTES), l->logits_frac);
        for (n = 0; n < pitch / GRADLOOM_WORD_BYTES; ++n) {
            int64_t sum = 0;

            if (n < l->classes) {
                const int64_t below = top - gradloom_get(logits + n * GRADLOOM_WORD_BYTES);

                sum = (exp_negative(below, l->logits_frac) << (l->delta_frac + GUARD)) / total;
                if (n == labels[row]) {
                    sum -= INT64_C(1) << (l->delta_frac + GUARD);
                    l->loss += ((below << LOSS_FRAC) >> l->logits_frac) + log_word(total);
                }
                sum = gradloom_convert(sum, GUARD, l->rounding, l->key, row * l->classes + n);
            }
            gradloom_put(delta + n * GRADLOOM_WORD_BYTES, (int32_t)sum);
        }
        l->correct += first == labels[row];
    }
    return GRADLOOM_OK;
}
