/* Puts a simulated machine under the bare-metal driver: PROGRAM IMAGE MEMORY, the file that memory goes to at the end. */
#include "port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradloom.h"

#define QUANTUM 1000 /* cycles of a pause, at most */

/* tb/native/machine.cpp */
struct settings {
    uint32_t read_latency, write_latency, jitter, bandwidth, stall, bursts, seed;
};
void *machine_new(uint8_t *bytes, uint64_t origin, uint64_t size, const struct settings *settings);
void machine_free(void *machine);
int machine_write(void *machine, uint32_t address, uint32_t value);
int machine_read(void *machine, uint32_t address, uint32_t *value);
int machine_run(void *machine, uint64_t limit);

uint8_t port_memory[GRADLOOM_MEMORY_BYTES];
const uint32_t *port_image;
uint32_t port_image_bytes;
static void *machine;
static const char *memory_file;

static void refuse(const char *what, const char *name)
{
    fprintf(stderr, "%s %s\n", what, name);
    exit(2);
}

void port_begin(int argc, char **argv)
{
    const struct settings settings = {50, 20, 0, 8 * 256, 0, 16, 1};
    FILE *file;
    long size;
    void *image;

    if (argc < 3)
        refuse("usage: PROGRAM IMAGE MEMORY, not", argc > 1 ? argv[1] : "");
    memory_file = argv[2];
    file = fopen(argv[1], "rb");
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
        refuse("cannot read", argv[1]);
    image = malloc((size_t)size);
    if (!image || fread(image, 1, (size_t)size, file) != (size_t)size)
        refuse("cannot read", argv[1]);
    fclose(file);
    port_image = image;
    port_image_bytes = (uint32_t)size;
    /* Memory holds anything when a board wakes up. */
    memset(port_memory, 0xA5, sizeof port_memory);
    machine = machine_new(port_memory, GRADLOOM_MEMORY_ADDRESS, sizeof port_memory, &settings);
}

void port_end(void)
{
    FILE *file = fopen(memory_file, "wb");

    machine_free(machine);
    if (!file || fwrite(port_memory, 1, sizeof port_memory, file) != sizeof port_memory || fclose(file))
        refuse("cannot write", memory_file);
}

/* A bus error is an exception on most processors, and a mistake of the driver's. */
uint32_t port_read(uint32_t offset)
{
    uint32_t value = 0;

    if (machine_read(machine, offset, &value)) {
        fprintf(stderr, "bus error: read at %#x\n", (unsigned)offset);
        abort();
    }
    return value;
}

void port_write(uint32_t offset, uint32_t value)
{
    if (machine_write(machine, offset, value)) {
        fprintf(stderr, "bus error: write of %#x at %#x\n", (unsigned)value, (unsigned)offset);
        abort();
    }
}

void port_pause(struct gradloom *g)
{
    if (machine_run(machine, QUANTUM) && g->interrupts)
        gradloom_interrupt(g);
}
