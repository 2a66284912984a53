/* The small computations of a step, word for word as the golden model has them; what gradloom_program.c is made of. */
#ifndef GRADLOOM_MATH_H
#define GRADLOOM_MATH_H

#include "gradloom.h"
#include "gradloom_image.h"

#define GRADLOOM_WORD_BYTES (GRADLOOM_BRICK_BYTES / GRADLOOM_BRICK)

/* Words in memory, sign-extended. */
int32_t gradloom_get(const uint8_t *at);
void gradloom_put(uint8_t *at, int32_t word);

/* Bytes from row to row of a tensor. */
uint32_t gradloom_pitch(uint32_t channels);

/* 32 random bits of (key, index). */
uint32_t gradloom_hash(uint32_t key, uint32_t index);

/* Drops `shift` bits of a sum and saturates. */
int32_t gradloom_convert(int64_t sum, unsigned shift, uint32_t rounding, uint32_t key, uint32_t index);

/* Floor of value / 2**shift. */
int64_t gradloom_floor(int64_t value, unsigned shift);

/* Softmax cross-entropy of logits (batch, classes), in memory, and its gradient. */
struct gradloom_loss {
    uint32_t batch, classes, logits_frac, delta_frac, rounding, key;
    int64_t loss;     /* out */
    uint32_t correct; /* out */
};
int gradloom_cross_entropy(struct gradloom_loss *l, const uint8_t *logits, const uint16_t *labels, uint8_t *delta);

/* One part of a batch norm; the shift that goes into descriptors, or -1 where none does. */
int gradloom_norm(uint8_t *memory, const struct gradloom_image_norm *n, uint32_t part, uint32_t rounding, uint32_t key,
                  int *shift);

#endif
