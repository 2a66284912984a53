// Drives the generated engine from C: bricks in, one product, bricks out.
// Built together with the Verilog by Verilator and called through ctypes (tb/native/engine.py).
#include <cstddef>
#include <cstdint>

#include "Vengine.h"
#include "verilated.h"

namespace {

constexpr int BRICK = 8;

// A brick port is a QData or a VlWide, depending on the width of a word.
void put(QData& port, const int32_t* words, int width) {
    port = 0;
    for (int n = 0; n < BRICK; ++n) port |= (static_cast<QData>(words[n]) & ((1ULL << width) - 1)) << (n * width);
}

template <std::size_t N>
void put(VlWide<N>& port, const int32_t* words, int width) {
    for (std::size_t i = 0; i < N; ++i) port[i] = 0;
    for (int n = 0; n < BRICK; ++n) {
        const uint64_t bits = (static_cast<uint64_t>(static_cast<uint32_t>(words[n])) & ((1ULL << width) - 1))
                              << (n * width % 32);
        port[n * width / 32] |= static_cast<uint32_t>(bits);
        if (bits >> 32) port[n * width / 32 + 1] |= static_cast<uint32_t>(bits >> 32);
    }
}

int32_t sign_extend(uint32_t bits, int width) {
    return static_cast<int32_t>(bits << (32 - width)) >> (32 - width);
}

void get(const QData& port, int32_t* words, int width) {
    for (int n = 0; n < BRICK; ++n) words[n] = sign_extend(static_cast<uint32_t>(port >> (n * width)), width);
}

template <std::size_t N>
void get(const VlWide<N>& port, int32_t* words, int width) {
    for (int n = 0; n < BRICK; ++n) {
        const int at = n * width / 32;
        const uint64_t high = at + 1 < static_cast<int>(N) ? port[at + 1] : 0;
        words[n] = sign_extend(static_cast<uint32_t>(((high << 32) | port[at]) >> (n * width % 32)), width);
    }
}

struct Engine {
    VerilatedContext context;
    Vengine top{&context};
    int width;
    uint64_t cycles = 0;

    explicit Engine(int word_width) : width(word_width) {
        top.clk = 0;
        top.rst = 1;
        top.command__valid = 0;
        top.write__valid = 0;
        top.read__valid = 0;
        for (int n = 0; n < 4; ++n) tick();
        top.rst = 0;
        tick();
    }

    // Inputs set before the call are seen by this rising edge.
    void tick() {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
        ++cycles;
    }
};

}  // namespace

extern "C" {

void* engine_new(int width) { return new Engine(width); }

void engine_free(void* handle) { delete static_cast<Engine*>(handle); }

uint64_t engine_cycles(void* handle) { return static_cast<Engine*>(handle)->cycles; }

void engine_idle(void* handle, uint64_t cycles) {
    auto& engine = *static_cast<Engine*>(handle);
    for (uint64_t n = 0; n < cycles; ++n) engine.tick();
}

// count bricks of eight words from `address` on.
void engine_write(void* handle, uint32_t address, const int32_t* words, uint32_t count) {
    auto& engine = *static_cast<Engine*>(handle);
    auto& top = engine.top;
    top.write__valid = 1;
    for (uint32_t n = 0; n < count;) {
        top.write__payload__address = address + n;
        put(top.write__payload__words, words + static_cast<std::size_t>(n) * BRICK, engine.width);
        top.eval();
        if (top.write__ready) ++n;
        engine.tick();
    }
    top.write__valid = 0;
}

void engine_read(void* handle, uint32_t address, int32_t* words, uint32_t count) {
    auto& engine = *static_cast<Engine*>(handle);
    auto& top = engine.top;
    uint32_t asked = 0;
    for (uint32_t got = 0; got < count;) {
        top.read__valid = asked < count;
        top.read__payload = address + asked;
        top.eval();
        if (top.read_valid) get(top.read_brick, words + static_cast<std::size_t>(got++) * BRICK, engine.width);
        if (asked < count && top.read__ready) ++asked;
        engine.tick();
    }
    top.read__valid = 0;
}

// Fields in the order of spec.engine.Widths.command_fields. Waits until the command is taken.
void engine_start(void* handle, const uint32_t* field) {
    auto& engine = *static_cast<Engine*>(handle);
    auto& top = engine.top;
    top.command__payload__m = *field++;
    top.command__payload__k = *field++;
    top.command__payload__n = *field++;
    top.command__payload__a_base = *field++;
    top.command__payload__a_stride = *field++;
    top.command__payload__b_base = *field++;
    top.command__payload__b_stride = *field++;
    top.command__payload__c_base = *field++;
    top.command__payload__c_stride = *field++;
    top.command__payload__mask_base = *field++;
    top.command__payload__mask_stride = *field++;
    top.command__payload__masked = *field++;
    top.command__payload__skip = *field++;
    top.command__payload__start = *field++;
    top.command__payload__finish = *field++;
    top.command__payload__shift = *field++;
    top.command__payload__rounding = *field++;
    top.command__payload__key = *field++;
    top.command__payload__index_base = *field++;
    top.command__payload__index_stride = *field++;
    top.command__payload__k_tile = *field++;
    top.command__payload__columns = *field++;
    top.command__payload__rows = *field++;
    top.command__payload__row_tile = *field++;
    top.command__valid = 1;
    do {
        top.eval();
        const bool taken = top.command__ready;
        engine.tick();
        if (taken) break;
    } while (true);
    top.command__valid = 0;
}

// Up to `limit` cycles; 1 when the command ended in them.
int engine_run(void* handle, uint64_t limit) {
    auto& engine = *static_cast<Engine*>(handle);
    for (uint64_t n = 0; n < limit; ++n) {
        engine.tick();
        if (engine.top.done) return 1;
    }
    return 0;
}

// In the order of spec.engine.COUNTERS.
void engine_counters(void* handle, uint64_t* values) {
    const auto& top = static_cast<Engine*>(handle)->top;
    *values++ = top.counters__cycles;
    *values++ = top.counters__busy_lane_cycles;
    *values++ = top.counters__steady_cycles;
    *values++ = top.counters__steady_busy_lane_cycles;
    *values++ = top.counters__outputs_computed;
    *values++ = top.counters__drain_stall_lane_cycles;
    *values++ = top.counters__load_stall_group_cycles;
    *values++ = top.counters__saturations;
}
}
