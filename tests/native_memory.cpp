// The C++ memory alone, for tests/test_machine_memory.py.
#include "axi_memory.h"

extern "C" {
void* memory_new(uint8_t* bytes, uint64_t origin, uint64_t size, uint32_t beat, const MemorySettings* set) {
    auto* memory = new AxiMemory(bytes, origin, size, beat);
    memory->settings(*set);
    return memory;
}
void memory_free(void* handle) { delete static_cast<AxiMemory*>(handle); }
void memory_fail(void* handle, int writes, uint64_t first, uint64_t end, uint8_t resp) {
    auto& memory = *static_cast<AxiMemory*>(handle);
    (writes ? memory.failing_writes : memory.failing_reads).push_back({first, end, resp});
}
void memory_step(void* handle, const MasterPins* master, SlavePins* slave) {
    auto& memory = *static_cast<AxiMemory*>(handle);
    memory.step(*master);
    *slave = memory.pins;
}
void memory_counts(void* handle, MemoryCounts* counts) { *counts = static_cast<AxiMemory*>(handle)->counts; }
}
