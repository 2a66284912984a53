// Plays a script on examples/litex/soc.py's SoC: "w ADDRESS VALUE", "r ADDRESS" (printed), "i CYCLES" (until the interrupt, at most so many;
// printed). Numbers are hexadecimal. The master on pins is Wishbone.
#include <cinttypes>
#include <cstdio>

#include "Vsoc.h"
#include "verilated.h"

static VerilatedContext context;
static Vsoc top{&context};

static void tick() {
    top.clk = 1;
    top.eval();
    top.clk = 0;
    top.eval();
}

static bool access(uint32_t address, bool write, uint32_t& value) {
    top.host_adr = address >> 2;
    top.host_dat_w = value;
    top.host_sel = 15;
    top.host_we = write;
    top.host_cyc = top.host_stb = 1;
    top.eval();
    for (int n = 0; n < 2000; ++n) {
        const bool done = top.host_ack || top.host_err, failed = top.host_err;
        value = top.host_dat_r;
        tick();
        if (done) {
            top.host_cyc = top.host_stb = 0;
            top.eval();
            return !failed;
        }
    }
    return false;
}

int main() {
    top.rst = 1;
    for (int n = 0; n < 10; ++n) tick();
    top.rst = 0;
    tick();
    char kind;
    uint32_t address, value;
    while (std::scanf(" %c %" SCNx32, &kind, &address) == 2) {
        if (kind == 'i') {
            uint32_t left = address;
            while (left && !top.irq) tick(), --left;
            std::printf("%d\n", top.irq);
            continue;
        }
        value = 0;
        if (kind == 'w' && std::scanf("%" SCNx32, &value) != 1) return 2;
        if (!access(address, kind == 'w', value)) {
            std::printf("error at %08" PRIx32 "\n", address);
            return 1;
        }
        if (kind == 'r') std::printf("%08" PRIx32 "\n", value);
    }
    top.final();
    return 0;
}
