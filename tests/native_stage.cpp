// Wrapper of the stage circuit of test_native_build.py: the smallest that does something.
#include "Vstage.h"
#include "verilated.h"

static void tick(Vstage* top) {
    top->clk = 0;
    top->eval();
    top->clk = 1;
    top->eval();
}

extern "C" {

Vstage* stage_new() {
    Vstage* top = new Vstage;
    top->rst = 1;
    tick(top);
    top->rst = 0;
    top->o___05Fready = 1;
    return top;
}

void stage_delete(Vstage* top) { delete top; }

// What `index` becomes after one clock.
unsigned stage_pass(Vstage* top, unsigned index) {
    top->i___05Fpayload___05Findex = index;
    top->i___05Fvalid = 1;
    tick(top);
    return top->o___05Fpayload___05Findex;
}

}
