/* Driver of a gradloom machine: C99, no allocation, no operating system, no library but <stdint.h> and <string.h>.

   machine.h, generated beside this file, holds the chip's numbers. Where registers are not plain memory, or memory is cached, name
   a file with macros of your own: -DGRADLOOM_PORT='"my_port.h"'. Calls on one machine must not overlap, except that
   gradloom_interrupt may come at any time. */
#ifndef GRADLOOM_DRIVER_H
#define GRADLOOM_DRIVER_H

#include <stdint.h>

#include "machine.h"

struct gradloom {
    volatile uint32_t *registers; /* of the AXI4-Lite slave, as the processor sees them */
    uint8_t *memory;              /* what both work on, as the processor sees it */
    uint32_t address;             /* the same, as the machine sees it */
    uint32_t bytes;               /* of it */
    uint32_t patience;            /* pauses until a wait gives up; 0, as after gradloom_open: never */
    uint32_t failed_at;           /* descriptor that stopped the machine last */
    int interrupts;               /* waits look at what gradloom_interrupt saw, not at the registers */
    volatile uint32_t reached;    /* what it saw */
};

#ifdef GRADLOOM_PORT
#include GRADLOOM_PORT
#endif
/* One access of 32 bits at a byte offset. */
#ifndef GRADLOOM_READ
#define GRADLOOM_READ(g, offset) ((g)->registers[(offset) / 4])
#endif
#ifndef GRADLOOM_WRITE
#define GRADLOOM_WRITE(g, offset, value) ((void)((g)->registers[(offset) / 4] = (value)))
#endif
/* What the processor wrote to memory is there, and what it reads next comes from there. With a data cache between them: write the
   range g->memory, g->bytes back and drop it. */
#ifndef GRADLOOM_SYNC
#define GRADLOOM_SYNC(g) ((void)(g), __sync_synchronize())
#endif
/* While waiting. */
#ifndef GRADLOOM_PAUSE
#define GRADLOOM_PAUSE(g) ((void)(g))
#endif

/* Zero is good, GRADLOOM_ERROR_* of machine.h are the machine's, these the driver's. */
enum gradloom_result {
    GRADLOOM_OK = 0,
    GRADLOOM_ABORTED = 64,
    GRADLOOM_TIMEOUT,
    GRADLOOM_NO_MACHINE,
    GRADLOOM_OTHER_CHIP,
    GRADLOOM_UNALIGNED,
    GRADLOOM_NO_IMAGE,
    GRADLOOM_NO_ROOM,
    GRADLOOM_NO_TENSOR,
    GRADLOOM_NO_BATCH,
    GRADLOOM_BAD_LABEL,
    GRADLOOM_OVERFLOW
};

/* The error in words, for any value that a function here returns. */
const char *gradloom_text(int result);

/* A machine at `registers`, stopped if it runs, with both windows on `bytes` of memory, a multiple of 128 at a multiple of 128.
   GRADLOOM_NO_MACHINE and GRADLOOM_OTHER_CHIP when its registers say so. */
int gradloom_open(struct gradloom *g, volatile uint32_t *registers, void *memory, uint32_t address, uint32_t bytes);

/* Bytes the machine may read and write from now on, as it sees them, at least one each; for less than gradloom_open gave it. */
int gradloom_windows(struct gradloom *g, uint32_t read, uint32_t read_bytes, uint32_t write, uint32_t write_bytes);

/* Cycles in which nothing moves before the machine stops; 0 is never. */
void gradloom_watchdog(struct gradloom *g, uint32_t cycles);

/* Waits by interrupt (1) or by polling (0, as after gradloom_open). */
void gradloom_use_interrupts(struct gradloom *g, int on);

/* To be called when the interrupt is high: takes it back and lets a wait end. */
void gradloom_interrupt(struct gradloom *g);

/* A ring of `count` descriptors at byte `offset` of memory, a multiple of 128. */
int gradloom_ring(struct gradloom *g, uint32_t offset, uint32_t count);

/* Start with descriptor `head` of the ring; gradloom_wait returns when END is reached, or why it was not. */
int gradloom_start(struct gradloom *g, uint32_t head);
int gradloom_wait(struct gradloom *g);
int gradloom_abort(struct gradloom *g);

/* GRADLOOM_COUNT_*: a counter since the last gradloom_clear. */
uint64_t gradloom_counter(struct gradloom *g, uint32_t counter);
void gradloom_clear(struct gradloom *g);

/* A field of a descriptor of zeros: GRADLOOM_SET(d, PRODUCT_M, 7). */
#define GRADLOOM_SET(descriptor, field, value)                                                          \
    gradloom_set((descriptor) + GRADLOOM_##field##_WORD, GRADLOOM_##field##_LSB, GRADLOOM_##field##_BITS, \
                 (uint32_t)(value))
void gradloom_set(uint32_t *word, unsigned lsb, unsigned bits, uint32_t value);

#endif
