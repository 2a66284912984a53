/* Registers, ring, waits and errors; see gradloom.h. */
#include "gradloom.h"

#include <string.h>

#define ALIGNMENT GRADLOOM_DESCRIPTOR_BYTES
#define BUSY                                                                                                       \
    (GRADLOOM_STATUS_RUNNING | GRADLOOM_STATUS_LOAD | GRADLOOM_STATUS_STORE | GRADLOOM_STATUS_PRODUCT | \
     GRADLOOM_STATUS_VECTOR | GRADLOOM_STATUS_BUS)
#define ALL (GRADLOOM_IRQ_ENDED | GRADLOOM_IRQ_FAILED | GRADLOOM_IRQ_ABORTED)

const char *gradloom_text(int result)
{
    switch (result) {
    case GRADLOOM_OK: return "no error";
    case GRADLOOM_ERROR_OPCODE: return "descriptor: no such opcode";
    case GRADLOOM_ERROR_FIELD: return "descriptor: a field is out of its range";
    case GRADLOOM_ERROR_READ_OUTSIDE: return "a load outside the read window";
    case GRADLOOM_ERROR_WRITE_OUTSIDE: return "a store outside the write window";
    case GRADLOOM_ERROR_READ_BUS: return "the bus answered a load with an error";
    case GRADLOOM_ERROR_WRITE_BUS: return "the bus answered a store with an error";
    case GRADLOOM_ERROR_FETCH: return "a descriptor lies outside the read window, or the bus failed";
    case GRADLOOM_ERROR_WATCHDOG: return "nothing moved for as long as the watchdog allows";
    case GRADLOOM_ABORTED: return "aborted";
    case GRADLOOM_TIMEOUT: return "the machine did not stop in time";
    case GRADLOOM_NO_MACHINE: return "no gradloom machine at these registers";
    case GRADLOOM_OTHER_CHIP: return "made for another chip";
    case GRADLOOM_UNALIGNED: return "address or size is not a multiple of 128";
    case GRADLOOM_NO_IMAGE: return "not a program image of this format";
    case GRADLOOM_NO_ROOM: return "the program needs more memory";
    case GRADLOOM_NO_TENSOR: return "no such tensor, or not so many words";
    case GRADLOOM_NO_BATCH: return "the image has no such batch";
    case GRADLOOM_BAD_LABEL: return "a label is not one of the classes";
    case GRADLOOM_OVERFLOW: return "a scalar of batch norm does not fit";
    default: return "unknown error";
    }
}

/* Until nothing of an earlier run is under way: settings are refused before. */
static int quiet(struct gradloom *g)
{
    uint32_t pauses = 0;

    while (GRADLOOM_READ(g, GRADLOOM_REG_STATUS) & BUSY) {
        if (g->patience && pauses++ == g->patience)
            return GRADLOOM_TIMEOUT;
        GRADLOOM_PAUSE(g);
    }
    return GRADLOOM_OK;
}

int gradloom_open(struct gradloom *g, volatile uint32_t *registers, void *memory, uint32_t address, uint32_t bytes)
{
    int result;

    memset(g, 0, sizeof *g);
    g->registers = registers;
    g->memory = memory;
    g->address = address;
    g->bytes = bytes;
    if (address % ALIGNMENT || bytes % ALIGNMENT || !bytes)
        return GRADLOOM_UNALIGNED;
    if (GRADLOOM_READ(g, GRADLOOM_REG_ID) != GRADLOOM_ID_VALUE)
        return GRADLOOM_NO_MACHINE;
    if (GRADLOOM_READ(g, GRADLOOM_REG_CHIP) != GRADLOOM_CHIP_DIGEST)
        return GRADLOOM_OTHER_CHIP;
    GRADLOOM_WRITE(g, GRADLOOM_REG_IRQ_ENABLE, 0);
    if (GRADLOOM_READ(g, GRADLOOM_REG_STATUS) & GRADLOOM_STATUS_RUNNING)
        GRADLOOM_WRITE(g, GRADLOOM_REG_CONTROL, GRADLOOM_CONTROL_ABORT);
    result = gradloom_windows(g, address, bytes, address, bytes);
    GRADLOOM_WRITE(g, GRADLOOM_REG_IRQ_STATUS, ALL);
    return result;
}

int gradloom_windows(struct gradloom *g, uint32_t read, uint32_t read_bytes, uint32_t write, uint32_t write_bytes)
{
    int result = quiet(g);

    if (result)
        return result;
    GRADLOOM_WRITE(g, GRADLOOM_REG_READ_BASE, read);
    GRADLOOM_WRITE(g, GRADLOOM_REG_READ_LIMIT, read + (read_bytes - 1));
    GRADLOOM_WRITE(g, GRADLOOM_REG_WRITE_BASE, write);
    GRADLOOM_WRITE(g, GRADLOOM_REG_WRITE_LIMIT, write + (write_bytes - 1));
    return GRADLOOM_OK;
}

void gradloom_watchdog(struct gradloom *g, uint32_t cycles) { GRADLOOM_WRITE(g, GRADLOOM_REG_WATCHDOG, cycles); }

void gradloom_use_interrupts(struct gradloom *g, int on)
{
    g->interrupts = on;
    GRADLOOM_WRITE(g, GRADLOOM_REG_IRQ_ENABLE, on ? ALL : 0);
}

void gradloom_interrupt(struct gradloom *g)
{
    const uint32_t reached = GRADLOOM_READ(g, GRADLOOM_REG_IRQ_STATUS);

    GRADLOOM_WRITE(g, GRADLOOM_REG_IRQ_STATUS, reached);
    g->reached |= reached;
}

int gradloom_ring(struct gradloom *g, uint32_t offset, uint32_t count)
{
    int result;

    if (offset % ALIGNMENT)
        return GRADLOOM_UNALIGNED;
    if (offset > g->bytes || count > (g->bytes - offset) / GRADLOOM_DESCRIPTOR_BYTES)
        return GRADLOOM_NO_ROOM;
    result = quiet(g);
    if (result)
        return result;
    GRADLOOM_WRITE(g, GRADLOOM_REG_RING_BASE, g->address + offset);
    GRADLOOM_WRITE(g, GRADLOOM_REG_RING_SIZE, count);
    return GRADLOOM_OK;
}

int gradloom_start(struct gradloom *g, uint32_t head)
{
    int result = quiet(g);

    if (result)
        return result;
    g->reached = 0;
    GRADLOOM_WRITE(g, GRADLOOM_REG_RING_HEAD, head);
    GRADLOOM_SYNC(g);
    GRADLOOM_WRITE(g, GRADLOOM_REG_CONTROL, GRADLOOM_CONTROL_START);
    return GRADLOOM_OK;
}

int gradloom_wait(struct gradloom *g)
{
    uint32_t pauses = 0;

    for (;;) {
        if (!g->interrupts)
            gradloom_interrupt(g);
        if (g->reached)
            break;
        if (g->patience && pauses++ == g->patience)
            return GRADLOOM_TIMEOUT;
        GRADLOOM_PAUSE(g);
    }
    GRADLOOM_SYNC(g);
    if (g->reached & GRADLOOM_IRQ_FAILED) {
        g->failed_at = GRADLOOM_READ(g, GRADLOOM_REG_ERROR_INDEX);
        return (int)GRADLOOM_READ(g, GRADLOOM_REG_ERROR);
    }
    return g->reached & GRADLOOM_IRQ_ABORTED ? GRADLOOM_ABORTED : GRADLOOM_OK;
}

int gradloom_abort(struct gradloom *g)
{
    GRADLOOM_WRITE(g, GRADLOOM_REG_CONTROL, GRADLOOM_CONTROL_ABORT);
    return quiet(g);
}

uint64_t gradloom_counter(struct gradloom *g, uint32_t counter)
{
    const uint64_t low = GRADLOOM_READ(g, counter); /* keeps the high word for the next read */

    return low | (uint64_t)GRADLOOM_READ(g, counter + 4) << 32;
}

void gradloom_clear(struct gradloom *g) { GRADLOOM_WRITE(g, GRADLOOM_REG_CONTROL, GRADLOOM_CONTROL_CLEAR); }

void gradloom_set(uint32_t *word, unsigned lsb, unsigned bits, uint32_t value)
{
    const uint32_t mask = (bits < 32 ? (UINT32_C(1) << bits) - 1 : UINT32_MAX) << lsb;

    *word = (*word & ~mask) | (value << lsb & mask);
}
