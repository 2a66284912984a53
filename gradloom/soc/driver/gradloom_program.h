/* Trains and predicts with a program image (gradloom program ... -o net.bin) on a gradloom machine. The processor does what the
   machine does not: the loss, batch norm's scalars, keys. Every word is the Python driver's. Little-endian processors only. */
#ifndef GRADLOOM_PROGRAM_H
#define GRADLOOM_PROGRAM_H

#include "gradloom.h"
#include "gradloom_image.h"

struct gradloom_program {
    struct gradloom *g;
    const uint8_t *image;
    const struct gradloom_image_header *header;
    const struct gradloom_image_program *now; /* whose descriptors are in the ring */
    uint32_t step;                            /* steps taken; makes the keys of the next. Set it to go on with an earlier run */
    int64_t loss;                             /* of the last step: sum over the batch, 16 fraction bits */
    uint32_t correct;                         /* samples of it whose first largest logit was the label */
};

/* The image, which must stay where it is, at a multiple of four; parameters go to memory. GRADLOOM_NO_IMAGE,
   GRADLOOM_OTHER_CHIP, GRADLOOM_NO_ROOM: see gradloom_room. */
int gradloom_load(struct gradloom_program *p, struct gradloom *g, const void *image, uint32_t bytes);

/* Bytes of memory that an image takes. */
uint32_t gradloom_room(const void *image);

/* Batch `number` of those in the image to memory; its labels. NULL when there is no such batch. */
const uint16_t *gradloom_batch(struct gradloom_program *p, uint32_t number);

/* Samples of your own to memory: a batch of words (height, width, channels) in the network's input format, one sample behind
   the other. */
void gradloom_samples(struct gradloom_program *p, const int32_t *words);

/* One training step on the samples in memory. */
int gradloom_step(struct gradloom_program *p, const uint16_t *labels);

/* The class of each sample in memory. */
int gradloom_predict(struct gradloom_program *p, uint16_t *classes);

/* All words of a tensor of the training program, by name ("x", "weights.0", "out.3"), without padding; `count` must be theirs. */
int gradloom_read(struct gradloom_program *p, const char *tensor, int32_t *words, uint32_t count);
int gradloom_write(struct gradloom_program *p, const char *tensor, const int32_t *words, uint32_t count);

#endif
