// Runs a board's logic in real time beside a file descriptor: what is written to the other end goes over the board's serial
// line bit by bit, and back. Built with the Verilog by Verilator and called through ctypes (tb/native/board_host.py).
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <random>

#include "Vnative.h"
#include "clocks.h"
#include "verilated.h"

namespace {

constexpr int SLICE = 512;         // cycles between two looks at the descriptor
constexpr int QUIET = 100;         // slices of silence before the clock stands still until a byte comes
constexpr int LOOK_MS = 20;       // between two looks at `stop` while it does
constexpr std::size_t AHEAD = 4096;  // bytes taken from the descriptor before they are on the line

struct Board {
    VerilatedContext context;
    Vnative top{&context};
    Clocks<Vnative> clocks{top};
    int divider;
    uint64_t cycles = 0, bytes_in = 0, bytes_out = 0;
    std::atomic<bool> stop{false};
    double noise = 0;  // probability that a bit on the line is turned over, either way
    std::mt19937_64 random;

    std::deque<uint8_t> coming;
    int send_left = 0, send_bits = 0;
    uint32_t send_shift = 1;

    std::deque<uint8_t> going;
    int take_left = 0, take_bit = -1;
    uint32_t take_shift = 0;

    explicit Board(int clocks_of_a_bit) : divider(clocks_of_a_bit) {
        top.rx = 1;
        top.rst = 1;
        for (int n = 0; n < 8; ++n) edge();
        top.rst = 0;
        edge();
    }

    // The model leaves the scopes of the thread's context, which may be a later one's, and gone.
    ~Board() { Verilated::threadContextp(&context); }

    void edge() {
        clocks.edge();
        ++cycles;
    }

    uint32_t flip() { return noise > 0 && std::uniform_real_distribution<>()(random) < noise; }

    // Host to board: start bit, eight bits, stop bit, back to back.
    void send() {
        if (--send_left > 0) return;
        if (send_bits == 0) {
            if (coming.empty()) {
                send_left = 0;
                return;
            }
            send_shift = coming.front() << 1 | 1 << 9;
            coming.pop_front();
            send_bits = 10;
            ++bytes_in;
        }
        top.rx = (send_shift & 1) ^ flip();
        send_shift >>= 1;
        --send_bits;
        send_left = divider;
    }

    // Board to host: each bit in its middle. A byte without a stop bit is passed on all the same, as adapters do.
    void take() {
        if (take_bit < 0) {
            if (top.tx) return;
            take_bit = 0;
            take_left = divider / 2;
            return;
        }
        if (--take_left > 0) return;
        take_left = divider;
        take_shift = take_shift >> 1 | (top.tx ^ flip()) << 9;
        if (++take_bit < 10) return;
        take_bit = -1;
        going.push_back(take_shift >> 1 & 0xFF);
        ++bytes_out;
    }

    // Until `stop`; 0, or the number of the error of the descriptor.
    int serve(int fd) {
        int quiet = 0;  // slices
        uint8_t buffer[AHEAD];
        while (!stop) {
            pollfd look{fd, static_cast<short>(POLLIN), 0};
            const bool asleep = quiet > QUIET;
            if (poll(&look, 1, asleep ? LOOK_MS : 0) < 0 && errno != EINTR) return errno;
            if (look.revents & POLLIN && coming.size() < AHEAD) {
                const auto count = read(fd, buffer, sizeof buffer);
                if (count < 0 && errno != EAGAIN && errno != EIO) return errno;
                if (count > 0) {
                    coming.insert(coming.end(), buffer, buffer + count);
                    quiet = 0;
                }
            }
            if (asleep && quiet) continue;
            for (int n = 0; n < SLICE; ++n) {
                send();
                edge();
                take();
            }
            quiet = coming.empty() && going.empty() ? quiet + 1 : 0;
            while (!going.empty()) {
                const uint8_t byte = going.front();
                const auto count = write(fd, &byte, 1);
                if (count < 0 && errno != EAGAIN) return errno;
                if (count != 1) break;  // the other end reads too slowly: try again behind the next slice
                going.pop_front();
            }
        }
        return 0;
    }
};

Board& board(void* handle) { return *static_cast<Board*>(handle); }

}  // namespace

extern "C" {

void* board_new(int divider) { return new Board(divider); }
void board_free(void* handle) { delete &board(handle); }
int board_serve(void* handle, int fd) { return board(handle).serve(fd); }
void board_stop(void* handle) { board(handle).stop = true; }
uint64_t board_cycles(void* handle) { return board(handle).cycles; }
uint64_t board_bytes(void* handle, int out) { return out ? board(handle).bytes_out : board(handle).bytes_in; }

void board_noise(void* handle, double probability, uint64_t seed) {
    board(handle).random.seed(seed);
    board(handle).noise = probability;
}
}
