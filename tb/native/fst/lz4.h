// Stand-in for lz4.h: valid LZ4 blocks of literals only, so that FST waves need no library.
// Verilator's FST writer keeps raw data where compression does not help, and needs only the two calls below.
#pragma once
#include <cstring>

static inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

static inline int LZ4_compress_default(const char* source, char* target, int size, int bound) {
    if (bound < LZ4_compressBound(size)) return 0;
    char* out = target;
    // Token: the number of literals in its upper half, 15 meaning that bytes of 255 and a rest follow.
    *out++ = static_cast<char>((size < 15 ? size : 15) << 4);
    if (size >= 15) {
        int rest = size - 15;
        for (; rest >= 255; rest -= 255) *out++ = static_cast<char>(255);
        *out++ = static_cast<char>(rest);
    }
    std::memcpy(out, source, size);
    return static_cast<int>(out - target) + size;
}
