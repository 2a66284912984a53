/* Carries out a program image; see gradloom_program.h and docs/program-image.md. */
#include "gradloom_program.h"

#include <string.h>

#include "gradloom_math.h"

#define SHIFT_BITS 6

/* Words of the ring lie at multiples of four, but memory is bytes to the compiler. */
static uint32_t word_at(const uint8_t *at)
{
    uint32_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

static void set_word(uint8_t *at, uint32_t word) { memcpy(at, &word, sizeof word); }

uint32_t gradloom_room(const void *image)
{
    const struct gradloom_image_header *h = image;

    return h->ring_address + h->ring_bytes;
}

int gradloom_load(struct gradloom_program *p, struct gradloom *g, const void *image, uint32_t bytes)
{
    const struct gradloom_image_header *h = image;
    const struct gradloom_image_block *block;
    uint32_t n;

    memset(p, 0, sizeof *p);
    if (bytes < sizeof *h || h->magic != GRADLOOM_IMAGE_MAGIC || h->format != GRADLOOM_IMAGE_FORMAT || h->bytes > bytes)
        return GRADLOOM_NO_IMAGE;
    if (h->chip != GRADLOOM_CHIP_DIGEST)
        return GRADLOOM_OTHER_CHIP;
    if (gradloom_room(image) > g->bytes)
        return GRADLOOM_NO_ROOM;
    p->g = g;
    p->image = image;
    p->header = h;
    p->step = h->step;
    block = (const void *)(p->image + h->first_at);
    for (n = 0; n < h->firsts; ++n)
        memcpy(g->memory + block[n].address, p->image + block[n].at, block[n].bytes);
    return GRADLOOM_OK;
}

static const struct gradloom_image_program *program(struct gradloom_program *p, uint32_t purpose)
{
    const struct gradloom_image_program *programs = (const void *)(p->image + p->header->programs_at);
    uint32_t n = 0;

    while (programs[n].purpose != purpose)
        ++n;
    return &programs[n];
}

/* Descriptors of a program to the ring, transfers moved to where memory lies. */
static int choose(struct gradloom_program *p, uint32_t purpose)
{
    const struct gradloom_image_program *chosen = program(p, purpose);
    uint8_t *ring = p->g->memory + p->header->ring_address;
    uint32_t n;
    int result;

    if (p->now == chosen)
        return GRADLOOM_OK;
    p->now = NULL;
    result = gradloom_ring(p->g, p->header->ring_address, chosen->descriptors);
    if (result)
        return result;
    memcpy(ring, p->image + chosen->descriptors_at, chosen->descriptors * GRADLOOM_DESCRIPTOR_BYTES);
    for (n = 0; n < chosen->descriptors; ++n, ring += GRADLOOM_DESCRIPTOR_BYTES) {
        const uint32_t opcode = word_at(ring) & ((UINT32_C(1) << GRADLOOM_HEAD_OPCODE_BITS) - 1);
        uint8_t *address = ring + 4 * GRADLOOM_TRANSFER_ADDRESS_WORD;

        if (opcode == GRADLOOM_OPCODE_LOAD || opcode == GRADLOOM_OPCODE_STORE)
            set_word(address, word_at(address) + p->g->address);
    }
    p->now = chosen;
    return GRADLOOM_OK;
}

static void set_keys(struct gradloom_program *p, uint32_t step_key)
{
    const struct gradloom_image_key *keys = (const void *)(p->image + p->now->keys_at);
    uint32_t n;

    for (n = 0; n < p->now->keys; ++n)
        set_word(p->g->memory + p->header->ring_address + 4 * keys[n].word, gradloom_hash(step_key, keys[n].id));
}

static void set_shifts(struct gradloom_program *p, uint32_t symbol, int shift)
{
    const struct gradloom_image_shift *shifts = (const void *)(p->image + p->now->shifts_at);
    uint32_t n;

    for (n = 0; n < p->now->shifts; ++n)
        if (shifts[n].symbol == symbol) {
            uint8_t *at = p->g->memory + p->header->ring_address + 4 * shifts[n].word;
            uint32_t word = word_at(at);

            gradloom_set(&word, shifts[n].lsb, SHIFT_BITS, (uint32_t)shift);
            set_word(at, word);
        }
}

static int cross_entropy(struct gradloom_program *p, const struct gradloom_image_op *op, const uint16_t *labels,
                         uint32_t step_key)
{
    const struct gradloom_image_header *h = p->header;
    uint8_t *memory = p->g->memory;
    struct gradloom_loss l = {h->batch, h->classes, op->b, op->d, h->rounding, gradloom_hash(step_key, op->e), 0, 0};
    const int result = gradloom_cross_entropy(&l, memory + op->a, labels, memory + op->c);

    p->loss = l.loss;
    p->correct = l.correct;
    return result;
}

static int norm(struct gradloom_program *p, const struct gradloom_image_op *op, uint32_t step_key)
{
    const struct gradloom_image_norm *n = (const struct gradloom_image_norm *)(const void *)(p->image + p->header->norms_at) + op->a;
    int shift;
    const int result =
        gradloom_norm(p->g->memory, n, op->b, p->header->rounding, gradloom_hash(step_key, n->key_id), &shift);

    if (!result && shift >= 0)
        set_shifts(p, 2 * n->number + (op->b == GRADLOOM_IMAGE_NORM_BACKWARD), shift);
    return result;
}

static int carry_out(struct gradloom_program *p, const uint16_t *labels)
{
    const struct gradloom_image_op *op = (const void *)(p->image + p->now->ops_at);
    const uint32_t step_key = gradloom_hash(p->header->seed, p->step);
    uint32_t n;
    int result = GRADLOOM_OK;

    set_keys(p, step_key);
    for (n = 0; n < p->now->ops && !result; ++n, ++op) {
        switch (op->code) {
        case GRADLOOM_IMAGE_OP_COPY: memcpy(p->g->memory + op->b, p->image + op->a, op->c); break;
        case GRADLOOM_IMAGE_OP_RUN:
            result = gradloom_start(p->g, op->a);
            if (!result)
                result = gradloom_wait(p->g);
            break;
        case GRADLOOM_IMAGE_OP_LOSS: result = cross_entropy(p, op, labels, step_key); break;
        case GRADLOOM_IMAGE_OP_NORM: result = norm(p, op, step_key); break;
        default: result = GRADLOOM_NO_IMAGE;
        }
    }
    return result;
}

const uint16_t *gradloom_batch(struct gradloom_program *p, uint32_t number)
{
    const struct gradloom_image_program *step = program(p, GRADLOOM_IMAGE_PURPOSE_STEP);
    const uint8_t *at = p->image + p->header->batches_at + (size_t)number * p->header->batch_bytes;

    if (number >= p->header->batches)
        return NULL;
    memcpy(p->g->memory + step->x_address, at, step->x_bytes);
    return (const void *)(at + step->x_bytes);
}

void gradloom_samples(struct gradloom_program *p, const int32_t *words)
{
    const struct gradloom_image_header *h = p->header;
    const uint32_t positions = h->width + 2 * h->padding - h->taps + 1;
    const uint32_t padded = gradloom_pitch(h->taps * h->channels) / GRADLOOM_WORD_BYTES;
    uint8_t *at = p->g->memory + program(p, GRADLOOM_IMAGE_PURPOSE_STEP)->x_address;
    uint32_t line, x, n;

    for (line = 0; line < h->batch * h->height; ++line, words += h->width * h->channels)
        for (x = 0; x < positions; ++x)
            for (n = 0; n < padded; ++n, at += GRADLOOM_WORD_BYTES) {
                const uint32_t seen = x + n / h->channels - h->padding; /* before the line: beyond its width */
                const int inside = n < h->taps * h->channels && seen < h->width;

                gradloom_put(at, inside ? words[seen * h->channels + n % h->channels] : 0);
            }
}

int gradloom_step(struct gradloom_program *p, const uint16_t *labels)
{
    int result = choose(p, GRADLOOM_IMAGE_PURPOSE_STEP);

    if (!result)
        result = carry_out(p, labels);
    if (!result)
        ++p->step;
    return result;
}

int gradloom_predict(struct gradloom_program *p, uint16_t *classes)
{
    int result = choose(p, GRADLOOM_IMAGE_PURPOSE_PREDICT);
    const uint32_t pitch = gradloom_pitch(p->header->classes);
    uint32_t row, n;

    if (!result)
        result = carry_out(p, NULL);
    for (row = 0; row < p->header->batch && !result; ++row) {
        const uint8_t *logits = p->g->memory + p->now->logits_address + row * pitch;
        int32_t top = gradloom_get(logits);

        classes[row] = 0;
        for (n = 1; n < p->header->classes; ++n)
            if (gradloom_get(logits + n * GRADLOOM_WORD_BYTES) > top) {
                top = gradloom_get(logits + n * GRADLOOM_WORD_BYTES);
                classes[row] = (uint16_t)n;
            }
    }
    return result;
}

static const struct gradloom_image_tensor *tensor(struct gradloom_program *p, const char *name, uint32_t count)
{
    const struct gradloom_image_program *step = program(p, GRADLOOM_IMAGE_PURPOSE_STEP);
    const struct gradloom_image_tensor *tensors = (const void *)(p->image + step->tensors_at);
    uint32_t n;

    for (n = 0; n < step->tensors; ++n)
        if (!strcmp((const char *)p->image + tensors[n].name_at, name))
            return tensors[n].rows * tensors[n].channels == count ? &tensors[n] : NULL;
    return NULL;
}

int gradloom_read(struct gradloom_program *p, const char *name, int32_t *words, uint32_t count)
{
    const struct gradloom_image_tensor *t = tensor(p, name, count);
    uint32_t n;

    if (!t)
        return GRADLOOM_NO_TENSOR;
    for (n = 0; n < count; ++n)
        words[n] = gradloom_get(p->g->memory + t->address + n / t->channels * gradloom_pitch(t->channels) +
                                n % t->channels * GRADLOOM_WORD_BYTES);
    return GRADLOOM_OK;
}

int gradloom_write(struct gradloom_program *p, const char *name, const int32_t *words, uint32_t count)
{
    const struct gradloom_image_tensor *t = tensor(p, name, count);
    uint32_t row, n;

    if (!t)
        return GRADLOOM_NO_TENSOR;
    for (row = 0; row < t->rows; ++row) {
        uint8_t *at = p->g->memory + t->address + row * gradloom_pitch(t->channels);

        for (n = 0; n < gradloom_pitch(t->channels) / GRADLOOM_WORD_BYTES; ++n)
            gradloom_put(at + n * GRADLOOM_WORD_BYTES, n < t->channels ? words[row * t->channels + n] : 0);
    }
    return GRADLOOM_OK;
}
