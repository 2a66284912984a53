/* The driver without a program image: descriptors by hand, what goes wrong and how it is told. Any line that fails ends in 1. */
#include <stdio.h>
#include <string.h>

#include "gradloom_program.h"

#define EXPECT(condition)                                              \
    do {                                                               \
        if (!(condition)) {                                            \
            printf("line %d: not %s\n", __LINE__, #condition);         \
            return 1;                                                  \
        }                                                              \
    } while (0)

#define RING 0x1000u
#define FROM 0x4000u
#define TO 0x8000u
#define BRICKS 300u

static struct gradloom g;
static uint32_t (*ring)[GRADLOOM_DESCRIPTOR_WORDS];

/* A load or store of BRICKS bricks between scratchpad brick 0 and a place in memory. */
static void transfer(uint32_t *d, uint32_t opcode, uint32_t place)
{
    memset(d, 0, GRADLOOM_DESCRIPTOR_BYTES);
    GRADLOOM_SET(d, HEAD_OPCODE, opcode);
    GRADLOOM_SET(d, HEAD_WAIT, GRADLOOM_UNIT_LOAD | GRADLOOM_UNIT_STORE);
    GRADLOOM_SET(d, TRANSFER_ADDRESS, GRADLOOM_MEMORY_ADDRESS + place);
    GRADLOOM_SET(d, TRANSFER_BRICKS, BRICKS);
    GRADLOOM_SET(d, TRANSFER_COUNT_1, 1);
    GRADLOOM_SET(d, TRANSFER_COUNT_2, 1);
}

static int run(uint32_t head)
{
    const int result = gradloom_start(&g, head);

    return result ? result : gradloom_wait(&g);
}

static int copies(void)
{
    unsigned n;

    for (n = 0; n < BRICKS * GRADLOOM_BRICK_BYTES; ++n)
        port_memory[FROM + n] = (uint8_t)(n % GRADLOOM_BRICK_BYTES ? 0 : n / 7 & 0x3F);
    transfer(ring[0], GRADLOOM_OPCODE_LOAD, FROM);
    transfer(ring[1], GRADLOOM_OPCODE_STORE, TO);
    memset(ring[2], 0, sizeof ring[2]);
    GRADLOOM_SET(ring[2], HEAD_OPCODE, GRADLOOM_OPCODE_END);
    EXPECT(gradloom_ring(&g, RING, 3) == GRADLOOM_OK);
    gradloom_clear(&g);
    EXPECT(run(0) == GRADLOOM_OK);
    EXPECT(!memcmp(port_memory + FROM, port_memory + TO, BRICKS * GRADLOOM_BRICK_BYTES));
    EXPECT(gradloom_counter(&g, GRADLOOM_COUNT_COMMANDS) >= 2);
    EXPECT(gradloom_counter(&g, GRADLOOM_COUNT_BRICKS_READ) == BRICKS);
    EXPECT(gradloom_counter(&g, GRADLOOM_COUNT_BRICKS_WRITTEN) == BRICKS);
    EXPECT(gradloom_counter(&g, GRADLOOM_COUNT_RUN_CYCLES) > 2 * BRICKS);
    return 0;
}

static int fails(void)
{
    GRADLOOM_SET(ring[1], HEAD_OPCODE, 77);
    EXPECT(run(0) == GRADLOOM_ERROR_OPCODE && g.failed_at == 1);
    transfer(ring[1], GRADLOOM_OPCODE_STORE, TO + 1);
    EXPECT(run(0) == GRADLOOM_ERROR_FIELD && g.failed_at == 1);
    transfer(ring[1], GRADLOOM_OPCODE_STORE, GRADLOOM_MEMORY_BYTES);
    EXPECT(run(0) == GRADLOOM_ERROR_WRITE_OUTSIDE && g.failed_at == 1);
    EXPECT(strstr(gradloom_text(GRADLOOM_ERROR_WRITE_OUTSIDE), "write window"));
    transfer(ring[1], GRADLOOM_OPCODE_STORE, TO);
    EXPECT(gradloom_windows(&g, GRADLOOM_MEMORY_ADDRESS, FROM, GRADLOOM_MEMORY_ADDRESS, TO) == GRADLOOM_OK);
    EXPECT(run(0) == GRADLOOM_ERROR_READ_OUTSIDE && g.failed_at == 0);
    EXPECT(gradloom_windows(&g, GRADLOOM_MEMORY_ADDRESS, TO, GRADLOOM_MEMORY_ADDRESS, GRADLOOM_MEMORY_BYTES) == GRADLOOM_OK);
    EXPECT(run(0) == GRADLOOM_OK);
    gradloom_watchdog(&g, 1);
    EXPECT(run(0) == GRADLOOM_ERROR_WATCHDOG);
    gradloom_watchdog(&g, 0);
    return 0;
}

static int stops(void)
{
    EXPECT(gradloom_start(&g, 0) == GRADLOOM_OK);
    EXPECT(gradloom_abort(&g) == GRADLOOM_OK);
    EXPECT(gradloom_wait(&g) == GRADLOOM_ABORTED);
    EXPECT(gradloom_start(&g, 0) == GRADLOOM_OK);
    /* While it runs, a second owner takes the machine over. */
    EXPECT(gradloom_open(&g, GRADLOOM_REGISTERS, port_memory, GRADLOOM_MEMORY_ADDRESS, GRADLOOM_MEMORY_BYTES) == GRADLOOM_OK);
    EXPECT(gradloom_ring(&g, RING, 3) == GRADLOOM_OK);
    EXPECT(run(0) == GRADLOOM_OK);
    g.patience = 1;
    EXPECT(gradloom_wait(&g) == GRADLOOM_OK); /* what was reached stays until the next start */
    g.reached = 0;
    EXPECT(gradloom_wait(&g) == GRADLOOM_TIMEOUT);
    g.patience = 0;
    return 0;
}

static int refuses(void)
{
    static struct gradloom_program p;
    struct gradloom other;
    uint32_t copy[64];
    int32_t word;

    EXPECT(gradloom_ring(&g, RING + 64, 3) == GRADLOOM_UNALIGNED);
    EXPECT(gradloom_ring(&g, GRADLOOM_MEMORY_BYTES - 256, 3) == GRADLOOM_NO_ROOM);
    EXPECT(gradloom_open(&other, GRADLOOM_REGISTERS, port_memory, 64, 128) == GRADLOOM_UNALIGNED);
    memcpy(copy, port_image, sizeof copy);
    EXPECT(gradloom_load(&p, &g, copy, 12) == GRADLOOM_NO_IMAGE);
    EXPECT(gradloom_load(&p, &g, copy, sizeof copy) == GRADLOOM_NO_IMAGE);
    ((struct gradloom_image_header *)(void *)copy)->chip ^= 1;
    EXPECT(gradloom_load(&p, &g, copy, port_image_bytes) == GRADLOOM_OTHER_CHIP);
    other = g;
    other.bytes = 4096;
    EXPECT(gradloom_load(&p, &other, port_image, port_image_bytes) == GRADLOOM_NO_ROOM);
    EXPECT(gradloom_load(&p, &g, port_image, port_image_bytes) == GRADLOOM_OK);
    EXPECT(gradloom_room(port_image) > 4096);
    EXPECT(gradloom_batch(&p, p.header->batches) == NULL);
    EXPECT(gradloom_read(&p, "weights.99", &word, 1) == GRADLOOM_NO_TENSOR);
    EXPECT(gradloom_write(&p, "x", &word, 1) == GRADLOOM_NO_TENSOR);
    return 0;
}

static int words(void)
{
    static struct gradloom_program p;
    static int32_t there[1 << 16], back[1 << 16];
    const struct gradloom_image_program *program;
    const struct gradloom_image_tensor *tensor;
    uint32_t n, count;

    EXPECT(gradloom_load(&p, &g, port_image, port_image_bytes) == GRADLOOM_OK);
    program = (const void *)(p.image + p.header->programs_at);
    tensor = (const void *)(p.image + program->tensors_at);
    count = tensor->rows * tensor->channels;
    EXPECT(count <= sizeof there / sizeof *there);
    for (n = 0; n < count; ++n)
        there[n] = (int32_t)(n % 255) - 127;
    EXPECT(gradloom_write(&p, (const char *)p.image + tensor->name_at, there, count) == GRADLOOM_OK);
    EXPECT(gradloom_read(&p, (const char *)p.image + tensor->name_at, back, count) == GRADLOOM_OK);
    EXPECT(!memcmp(there, back, count * sizeof *there));
    return 0;
}

/* Samples taken out of the image's own batch, and put back as a user's. */
static int samples(void)
{
    static struct gradloom_program p;
    static int32_t there[1 << 16], own[1 << 16];
    static uint8_t before[1 << 18];
    const struct gradloom_image_program *program;
    const struct gradloom_image_header *h;
    uint32_t n, positions, across;
    uint8_t *at;

    EXPECT(gradloom_load(&p, &g, port_image, port_image_bytes) == GRADLOOM_OK);
    EXPECT(gradloom_batch(&p, 0) != NULL);
    h = p.header;
    program = (const void *)(p.image + h->programs_at);
    positions = h->width + 2 * h->padding - h->taps + 1;
    across = h->taps * h->channels;
    EXPECT(gradloom_read(&p, "x", there, h->batch * h->height * positions * across) == GRADLOOM_OK);
    for (n = 0; n < h->batch * h->height * h->width * h->channels; ++n) {
        const uint32_t c = n % h->channels, x = n / h->channels % h->width, line = n / h->channels / h->width;
        const uint32_t seen_at = x < positions ? x : positions - 1, tap = x + h->padding - seen_at;

        own[n] = there[(line * positions + seen_at) * across + tap * h->channels + c];
    }
    at = port_memory + program->x_address;
    EXPECT(program->x_bytes <= sizeof before);
    memcpy(before, at, program->x_bytes);
    memset(at, 0x5A, program->x_bytes);
    gradloom_samples(&p, own);
    EXPECT(!memcmp(before, at, program->x_bytes));
    return 0;
}

int main(int argc, char **argv)
{
    int result;

    port_begin(argc, argv);
    ring = (void *)(port_memory + RING);
    EXPECT(gradloom_open(&g, GRADLOOM_REGISTERS, port_memory, GRADLOOM_MEMORY_ADDRESS, GRADLOOM_MEMORY_BYTES) == GRADLOOM_OK);
    result = copies() || fails() || stops() || refuses() || words() || samples();
    gradloom_use_interrupts(&g, 1);
    result = result || copies() || refuses();
    port_end();
    if (!result)
        puts("good");
    return result;
}
