// Drives the generated engine from C: bricks in, one product, bricks out.
// Built together with the Verilog by Verilator and called through ctypes (tb/native/engine.py).
#include <cstddef>
#include <cstdint>

#include "Vnative.h"
#include "verilated.h"

// Verilator writes the second of two underscores in a port's name as __05F.
#define MEMBER(port, member) top.port##___05F##member
#define PAYLOAD(port, field) top.port##___05Fpayload___05F##field

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
    Vnative top{&context};
    int width;
    uint64_t cycles = 0;

    explicit Engine(int word_width) : width(word_width) {
        top.clk = 0;
        top.rst = 1;
        MEMBER(command, valid) = 0;
        MEMBER(write, valid) = 0;
        MEMBER(read, valid) = 0;
        for (int n = 0; n < 4; ++n) tick();
        top.rst = 0;
        tick();
    }

    // The model leaves the scopes of the thread's context, which may be a later engine's, and gone.
    ~Engine() { Verilated::threadContextp(&context); }

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
    MEMBER(write, valid) = 1;
    for (uint32_t n = 0; n < count;) {
        PAYLOAD(write, address) = address + n;
        put(PAYLOAD(write, words), words + static_cast<std::size_t>(n) * BRICK, engine.width);
        top.eval();
        if (MEMBER(write, ready)) ++n;
        engine.tick();
    }
    MEMBER(write, valid) = 0;
}

void engine_read(void* handle, uint32_t address, int32_t* words, uint32_t count) {
    auto& engine = *static_cast<Engine*>(handle);
    auto& top = engine.top;
    uint32_t asked = 0;
    for (uint32_t got = 0; got < count;) {
        MEMBER(read, valid) = asked < count;
        MEMBER(read, payload) = address + asked;
        top.eval();
        if (top.read_valid) get(top.read_brick, words + static_cast<std::size_t>(got++) * BRICK, engine.width);
        if (asked < count && MEMBER(read, ready)) ++asked;
        engine.tick();
    }
    MEMBER(read, valid) = 0;
}

// Fields in the order of spec.engine.Widths.command_fields. Waits until the command is taken.
void engine_start(void* handle, const uint32_t* field) {
    auto& engine = *static_cast<Engine*>(handle);
    auto& top = engine.top;
    PAYLOAD(command, m) = *field++;
    PAYLOAD(command, n) = *field++;
    PAYLOAD(command, k) = *field++;
    PAYLOAD(command, out_x) = *field++;
    PAYLOAD(command, out_y) = *field++;
    PAYLOAD(command, in_x) = *field++;
    PAYLOAD(command, in_y) = *field++;
    PAYLOAD(command, origin_x) = *field++;
    PAYLOAD(command, origin_y) = *field++;
    PAYLOAD(command, phase_x) = *field++;
    PAYLOAD(command, phase_y) = *field++;
    PAYLOAD(command, dilation) = *field++;
    PAYLOAD(command, stride) = *field++;
    PAYLOAD(command, taps_x) = *field++;
    PAYLOAD(command, taps_y) = *field++;
    PAYLOAD(command, step_x) = *field++;
    PAYLOAD(command, step_y) = *field++;
    PAYLOAD(command, step_b) = *field++;
    PAYLOAD(command, a_base) = *field++;
    PAYLOAD(command, a_bricks) = *field++;
    PAYLOAD(command, a_tail) = *field++;
    PAYLOAD(command, tap_k) = *field++;
    PAYLOAD(command, bias) = *field++;
    PAYLOAD(command, one_base) = *field++;
    PAYLOAD(command, slabs) = *field++;
    PAYLOAD(command, a_slab) = *field++;
    PAYLOAD(command, b_base) = *field++;
    PAYLOAD(command, b_stride) = *field++;
    PAYLOAD(command, b_tile) = *field++;
    PAYLOAD(command, k_tile) = *field++;
    PAYLOAD(command, a_tile) = *field++;
    PAYLOAD(command, c_base) = *field++;
    PAYLOAD(command, c_stride) = *field++;
    PAYLOAD(command, index_stride) = *field++;
    PAYLOAD(command, seg_x) = *field++;
    PAYLOAD(command, seg_y) = *field++;
    PAYLOAD(command, seg_start) = *field++;
    PAYLOAD(command, seg_bank_x) = *field++;
    PAYLOAD(command, seg_bank_y) = *field++;
    PAYLOAD(command, seg_c_x) = *field++;
    PAYLOAD(command, seg_c_y) = *field++;
    PAYLOAD(command, seg_index_x) = *field++;
    PAYLOAD(command, seg_index_y) = *field++;
    PAYLOAD(command, mask_base) = *field++;
    PAYLOAD(command, mask_stride) = *field++;
    PAYLOAD(command, masked) = *field++;
    PAYLOAD(command, twins) = *field++;
    PAYLOAD(command, skip) = *field++;
    PAYLOAD(command, start) = *field++;
    PAYLOAD(command, finish) = *field++;
    PAYLOAD(command, shift) = *field++;
    PAYLOAD(command, rounding) = *field++;
    PAYLOAD(command, key) = *field++;
    PAYLOAD(command, index_base) = *field++;
    PAYLOAD(command, columns) = *field++;
    PAYLOAD(command, rows) = *field++;
    PAYLOAD(command, row_tile) = *field++;
    MEMBER(command, valid) = 1;
    do {
        top.eval();
        const bool taken = MEMBER(command, ready);
        engine.tick();
        if (taken) break;
    } while (true);
    MEMBER(command, valid) = 0;
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
    *values++ = MEMBER(counters, cycles);
    *values++ = MEMBER(counters, busy_lane_cycles);
    *values++ = MEMBER(counters, steady_cycles);
    *values++ = MEMBER(counters, steady_busy_lane_cycles);
    *values++ = MEMBER(counters, outputs_computed);
    *values++ = MEMBER(counters, drain_stall_lane_cycles);
    *values++ = MEMBER(counters, load_stall_group_cycles);
    *values++ = MEMBER(counters, saturations);
}
}
