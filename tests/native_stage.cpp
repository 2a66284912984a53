// Wrapper of the stage circuit of test_native_build.py: the smallest that does something.
#include "ports.h"
#include "verilated.h"

static void tick(Vtop* top) {
    top->clk = 0;
    top->eval();
    top->clk = 1;
    top->eval();
}

extern "C" {

Vtop* stage_new() {
    Vtop* top = new Vtop;
    top->rst = 1;
    tick(top);
    top->rst = 0;
    top->o__ready = 1;
    return top;
}

void stage_delete(Vtop* top) { delete top; }

// What `index` becomes after one clock.
unsigned stage_pass(Vtop* top, unsigned index) {
    top->i__payload__index = index;
    top->i__valid = 1;
    tick(top);
    return top->o__payload__index;
}

}
