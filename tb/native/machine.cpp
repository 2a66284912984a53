// Drives the generated machine from C: registers over AXI4-Lite, a memory behind AXI4, and what each command did when.
// Built together with the Verilog by Verilator and called through ctypes (tb/native/machine_host.py).
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "Vnative.h"
#include "axi_memory.h"
#include "clocks.h"
#include "verilated.h"

// Verilator writes the second of two underscores in a port's name as __05F.
#define MEMBER(bus, channel, member) top.bus##___05F##channel##___05F##member
#define PAYLOAD(bus, channel, field) top.bus##___05F##channel##___05Fpayload___05F##field
#define COUNTER(name) top.counters___05F##name

namespace {

constexpr int UNITS = 4;
constexpr int PRODUCT = 2;    // bit of the product unit in `issued` and `done`
constexpr int COUNTERS = 8;   // spec.engine.COUNTERS
constexpr int PATIENCE = 64;  // cycles in which a register must answer

// Fields of the same names and order in tb/native/machine_host.py.
struct Event {
    uint64_t issued, done;             // cycles; done is 0 while the command runs
    uint64_t read_beats, write_beats;  // on the bus meanwhile, whoever asked for them
    uint64_t counters[COUNTERS];       // of a product
    uint32_t unit, tag;
};

struct Machine {
    VerilatedContext context;
    Vnative top{&context};
    Clocks<Vnative> clocks{top};
    AxiMemory memory;
    MasterPins pins{};
    uint64_t cycles = 0;
    std::vector<Event> events;
    std::size_t open[UNITS] = {};  // place of the command under way, counted from one

    Machine(uint8_t* bytes, uint64_t origin, uint64_t size)
        : memory(bytes, origin, size, sizeof PAYLOAD(mem, r, data)) {
        MEMBER(ctl, aw, valid) = MEMBER(ctl, w, valid) = MEMBER(ctl, ar, valid) = 0;
        MEMBER(ctl, b, ready) = MEMBER(ctl, r, ready) = 1;
        reset();
    }

    // The model leaves the scopes of the thread's context, which may be a later machine's, and gone.
    ~Machine() { Verilated::threadContextp(&context); }

    void reset() {
        memory.reset();
        drive();
        clocks.wake();
        top.rst = 1;
        for (int n = 0; n < 4; ++n) edge();
        top.rst = 0;
        edge();
        events.clear();
        for (auto& place : open) place = 0;
    }

    void edge() {
        clocks.edge();
        ++cycles;
    }

    void tick() {
        sample();
        edge();
        memory.step(pins);
        drive();
        if (top.events___05Fissued | top.events___05Fdone) note();
    }

    // What the master drives in this cycle; payloads only where they are valid.
    void sample() {
        pins.ar_valid = MEMBER(mem, ar, valid);
        pins.aw_valid = MEMBER(mem, aw, valid);
        pins.w_valid = MEMBER(mem, w, valid);
        pins.r_ready = MEMBER(mem, r, ready);
        pins.b_ready = MEMBER(mem, b, ready);
        if (pins.ar_valid) {
            pins.ar_addr = PAYLOAD(mem, ar, addr);
            pins.ar_len = PAYLOAD(mem, ar, len);
            pins.ar_size = PAYLOAD(mem, ar, size);
            pins.ar_burst = PAYLOAD(mem, ar, burst);
        }
        if (pins.aw_valid) {
            pins.aw_addr = PAYLOAD(mem, aw, addr);
            pins.aw_len = PAYLOAD(mem, aw, len);
            pins.aw_size = PAYLOAD(mem, aw, size);
            pins.aw_burst = PAYLOAD(mem, aw, burst);
        }
        if (pins.w_valid) {
            std::memcpy(pins.w_data, &PAYLOAD(mem, w, data), sizeof PAYLOAD(mem, w, data));
            pins.w_strb = PAYLOAD(mem, w, strb);
            pins.w_last = PAYLOAD(mem, w, last);
        }
    }

    void drive() {
        const SlavePins& out = memory.pins;
        MEMBER(mem, ar, ready) = out.ar_ready;
        MEMBER(mem, aw, ready) = out.aw_ready;
        MEMBER(mem, w, ready) = out.w_ready;
        MEMBER(mem, r, valid) = out.r_valid;
        MEMBER(mem, b, valid) = out.b_valid;
        PAYLOAD(mem, b, resp) = out.b_resp;
        if (out.r_valid) {
            PAYLOAD(mem, r, last) = out.r_last;
            PAYLOAD(mem, r, resp) = out.r_resp;
            std::memcpy(&PAYLOAD(mem, r, data), out.r_data, sizeof PAYLOAD(mem, r, data));
        }
    }

    void note() {
        const auto& counts = memory.counts;
        for (int unit = 0; unit < UNITS; ++unit) {
            if (top.events___05Fdone >> unit & 1 && open[unit]) {
                Event& event = events[open[unit] - 1];
                event.done = cycles;
                event.read_beats = counts.read_beats - event.read_beats;
                event.write_beats = counts.write_beats - event.write_beats;
                if (unit == PRODUCT) read_counters(event.counters);
                open[unit] = 0;
            }
            if (top.events___05Fissued >> unit & 1) {
                events.push_back({cycles, 0, counts.read_beats, counts.write_beats, {},
                                  static_cast<uint32_t>(unit), static_cast<uint32_t>(top.events___05Ftag)});
                open[unit] = events.size();
            }
        }
    }

    // In the order of spec.engine.COUNTERS.
    void read_counters(uint64_t* values) {
        *values++ = COUNTER(cycles);
        *values++ = COUNTER(busy_lane_cycles);
        *values++ = COUNTER(steady_cycles);
        *values++ = COUNTER(steady_busy_lane_cycles);
        *values++ = COUNTER(outputs_computed);
        *values++ = COUNTER(drain_stall_lane_cycles);
        *values++ = COUNTER(load_stall_group_cycles);
        *values++ = COUNTER(saturations);
    }
};

Machine& machine(void* handle) { return *static_cast<Machine*>(handle); }

}  // namespace

extern "C" {

// `bytes` stay the caller's: the memory from address `origin` on.
void* machine_new(uint8_t* bytes, uint64_t origin, uint64_t size, const MemorySettings* settings) {
    auto* made = new Machine(bytes, origin, size);
    made->memory.settings(*settings);
    return made;
}

void machine_free(void* handle) { delete &machine(handle); }
void machine_reset(void* handle) { machine(handle).reset(); }
void machine_rest(void* handle, int rests) { machine(handle).clocks.rests = rests; }
uint64_t machine_cycles(void* handle) { return machine(handle).cycles; }
void machine_settings(void* handle, const MemorySettings* settings) { machine(handle).memory.settings(*settings); }
void machine_counts(void* handle, MemoryCounts* counts) { *counts = machine(handle).memory.counts; }

// Ranges whose bursts fail from now on; `resp` 0 forgets all of them.
void machine_fail(void* handle, int writes, uint64_t first, uint64_t end, uint8_t resp) {
    auto& memory = machine(handle).memory;
    auto& ranges = writes ? memory.failing_writes : memory.failing_reads;
    if (resp)
        ranges.push_back({first, end, resp});
    else
        ranges.clear();
}

// The response, or -1 when none came.
int machine_write(void* handle, uint32_t address, uint32_t value) {
    auto& m = machine(handle);
    auto& top = m.top;
    MEMBER(ctl, aw, valid) = MEMBER(ctl, w, valid) = 1;
    PAYLOAD(ctl, aw, addr) = address;
    PAYLOAD(ctl, w, data) = value;
    PAYLOAD(ctl, w, strb) = 15;
    for (int n = 0; n < PATIENCE; ++n) {
        const bool address_taken = MEMBER(ctl, aw, valid) && MEMBER(ctl, aw, ready);
        const bool data_taken = MEMBER(ctl, w, valid) && MEMBER(ctl, w, ready);
        const bool answered = MEMBER(ctl, b, valid);
        const int resp = PAYLOAD(ctl, b, resp);
        m.tick();
        if (address_taken) MEMBER(ctl, aw, valid) = 0;
        if (data_taken) MEMBER(ctl, w, valid) = 0;
        if (answered) return resp;
    }
    return -1;
}

int machine_read(void* handle, uint32_t address, uint32_t* value) {
    auto& m = machine(handle);
    auto& top = m.top;
    MEMBER(ctl, ar, valid) = 1;
    PAYLOAD(ctl, ar, addr) = address;
    for (int n = 0; n < PATIENCE; ++n) {
        const bool taken = MEMBER(ctl, ar, valid) && MEMBER(ctl, ar, ready);
        const bool answered = MEMBER(ctl, r, valid);
        const int resp = PAYLOAD(ctl, r, resp);
        *value = PAYLOAD(ctl, r, data);
        m.tick();
        if (taken) MEMBER(ctl, ar, valid) = 0;
        if (answered) return resp;
    }
    return -1;
}

// Up to `limit` cycles; 1 when the interrupt is high.
int machine_run(void* handle, uint64_t limit) {
    auto& m = machine(handle);
    for (uint64_t n = 0; n < limit; ++n) {
        if (m.top.irq) return 1;
        m.tick();
    }
    return m.top.irq;
}

void machine_idle(void* handle, uint64_t count) {
    for (uint64_t n = 0; n < count; ++n) machine(handle).tick();
}

uint64_t machine_events(void* handle) { return machine(handle).events.size(); }

// Copies and forgets what has ended; those under way stay. Returns how many.
uint64_t machine_take_events(void* handle, Event* out) {
    auto& m = machine(handle);
    std::vector<Event> stay;
    uint64_t taken = 0;
    for (auto& place : m.open) place = 0;
    for (const auto& event : m.events) {
        if (event.done) {
            out[taken++] = event;
        } else {
            stay.push_back(event);
            m.open[event.unit] = stay.size();
        }
    }
    m.events = stay;
    return taken;
}
}
