/* Trains a network on a gradloom machine without an operating system: a program image, one call a step.

   GRADLOOM_REGISTERS, GRADLOOM_MEMORY, GRADLOOM_MEMORY_ADDRESS and GRADLOOM_MEMORY_BYTES say where things are; GRADLOOM_PORT names the
   file that does. STEPS: how many. INTERRUPTS: 1 where the interrupt calls gradloom_interrupt. */
#include <stdio.h>

#include "gradloom_program.h"

#ifndef STEPS
#define STEPS 3
#endif
#ifndef INTERRUPTS
#define INTERRUPTS 0
#endif
#define MOST 256 /* samples of a batch */

static int check(const struct gradloom *g, const char *what, int result)
{
    if (result)
        printf("%s: %s (descriptor %lu)\n", what, gradloom_text(result), (unsigned long)g->failed_at);
    return result;
}

static int train(const void *image, uint32_t bytes)
{
    static struct gradloom g;
    static struct gradloom_program p;
    static uint16_t classes[MOST];
    const uint16_t *labels = NULL;
    uint32_t n, right = 0;

    if (check(&g, "open", gradloom_open(&g, GRADLOOM_REGISTERS, GRADLOOM_MEMORY, GRADLOOM_MEMORY_ADDRESS, GRADLOOM_MEMORY_BYTES)) ||
        check(&g, "load", gradloom_load(&p, &g, image, bytes)))
        return 1;
    gradloom_watchdog(&g, 1000000);
    gradloom_use_interrupts(&g, INTERRUPTS);
    gradloom_clear(&g);
    for (n = 0; n < STEPS; ++n) {
        labels = gradloom_batch(&p, n % p.header->batches);
        if (check(&g, "step", gradloom_step(&p, labels)))
            return 1;
        printf("step %lu: loss %ld / 65536, %lu of %lu right\n", (unsigned long)p.step, (long)p.loss,
               (unsigned long)p.correct, (unsigned long)p.header->batch);
    }
    printf("%lu cycles, %lu commands\n", (unsigned long)gradloom_counter(&g, GRADLOOM_COUNT_RUN_CYCLES),
           (unsigned long)gradloom_counter(&g, GRADLOOM_COUNT_COMMANDS));
#ifdef PREDICT
    if (p.header->batch > MOST || check(&g, "predict", gradloom_predict(&p, classes)))
        return 1;
    for (n = 0; n < p.header->batch; ++n)
        right += classes[n] == labels[n];
    printf("predicted: %lu of %lu right\n", (unsigned long)right, (unsigned long)p.header->batch);
#else
    (void)classes, (void)right;
#endif
    return 0;
}

#ifdef PORT_H
int main(int argc, char **argv)
{
    int result;

    port_begin(argc, argv);
    result = train(port_image, port_image_bytes);
    port_end();
    return result;
}
#else
extern const uint32_t network[];
extern const uint32_t network_bytes;

int main(void) { return train(network, network_bytes); }
#endif
