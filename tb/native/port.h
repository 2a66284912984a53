/* The driver's port to a machine in simulation (tb/native/machine.cpp): registers are calls, waiting lets the clock run. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

struct gradloom;
uint32_t port_read(uint32_t offset);
void port_write(uint32_t offset, uint32_t value);
void port_pause(struct gradloom *g);

#define GRADLOOM_READ(g, offset) ((void)(g), port_read(offset))
#define GRADLOOM_WRITE(g, offset, value) ((void)(g), port_write(offset, value))
#define GRADLOOM_PAUSE(g) port_pause(g)

/* Where main's machine and memory are: on a board constants of the memory map. */
#define GRADLOOM_REGISTERS ((volatile uint32_t *)0)
#define GRADLOOM_MEMORY port_memory
#define GRADLOOM_MEMORY_ADDRESS 0x80000000u
#define GRADLOOM_MEMORY_BYTES (64u << 20)
extern uint8_t port_memory[];

/* The board's start-up: makes the machine, and is given the image. */
void port_begin(int argc, char **argv);
extern const uint32_t *port_image;
extern uint32_t port_image_bytes;
void port_end(void);

#endif
