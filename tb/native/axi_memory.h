// A memory behind AXI4, one step a clock: latency, bandwidth, stalls and failures as set, the master's rules checked.
// Tried against a model in Python by tests/test_machine_memory.py.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

constexpr uint32_t PAGE = 4096;
constexpr uint32_t INCR = 1;
constexpr std::size_t BEAT = 16;  // bytes of the widest beat

// What the master drives. Fields of the same names and order in tb/native/memory_host.py.
struct MasterPins {
    uint32_t ar_addr, aw_addr, w_strb;
    uint8_t ar_valid, ar_len, ar_size, ar_burst;
    uint8_t aw_valid, aw_len, aw_size, aw_burst;
    uint8_t w_valid, w_last, r_ready, b_ready;
    uint8_t w_data[BEAT];
};

struct SlavePins {
    uint8_t ar_ready, aw_ready, w_ready;
    uint8_t r_valid, r_last, r_resp, b_valid, b_resp;
    uint8_t r_data[BEAT];
};

struct MemorySettings {
    uint32_t read_latency;   // cycles from an address taken to its first beat
    uint32_t write_latency;  // from a burst's last beat taken to its answer
    uint32_t jitter;         // an answer comes up to so many cycles later still
    uint32_t bandwidth;      // 256ths of bytes a cycle, reads and writes together; 0 for a beat a cycle each
    uint32_t stall;          // 2^32 times the probability that a channel idles in a cycle
    uint32_t bursts;         // taken and not answered, of reads and of writes
    uint32_t seed;           // of stalls and jitter
};

struct Failing {
    uint64_t first, end;  // bytes
    uint8_t resp;
};

enum Violation { CROSSES_PAGE, BURST_KIND, BEAT_SIZE, UNALIGNED, MISPLACED_LAST, STROBES, UNSTABLE_AR, UNSTABLE_AW, UNSTABLE_W, OUTSIDE, VIOLATIONS };

struct MemoryCounts {
    uint64_t violations[VIOLATIONS];
    uint64_t read_beats, write_beats, read_bursts, write_bursts;
};

class AxiMemory {
   public:
    MemorySettings set{};
    MemoryCounts counts{};
    std::vector<Failing> failing_reads, failing_writes;
    SlavePins pins{};  // as they stand in this cycle

    AxiMemory(uint8_t* bytes, uint64_t origin, uint64_t size, uint32_t beat_bytes)
        : bytes_(bytes), origin_(origin), size_(size), beat_(beat_bytes) {}

    void settings(const MemorySettings& settings) {
        set = settings;
        random_ = 0x9E3779B97F4A7C15ULL ^ settings.seed;
    }

    bool idle() const { return reads_.empty() && announced_.empty() && answers_.empty() && !pins.b_valid; }

    // Forget what is under way, as when the master is reset.
    void reset() {
        reads_.clear();
        announced_.clear();
        arrived_.clear();
        answers_.clear();
        whole_ = 0;
        pins = {};
        before_ = {};
    }

    // A rising edge at which the master drives `master`; `pins` then hold for the next.
    void step(const MasterPins& master) {
        ++now_;
        credit_ += set.bandwidth;
        check_stable(master);
        if (pins.r_valid && master.r_ready) beat_taken();
        if (pins.b_valid && master.b_ready) pins.b_valid = 0;
        if (master.ar_valid && pins.ar_ready) take_read(master);
        if (master.aw_valid && pins.aw_ready) take_write(master);
        if (master.w_valid && pins.w_ready) take_beat(master);
        while (!announced_.empty() && whole_) finish_write();
        credit_ = std::min<int64_t>(credit_, 256 * beat_);
        before_ = master;
        drive();
    }

   private:
    struct Read {
        uint64_t due;
        uint32_t beats, sent;
        uint64_t address;
        std::vector<uint8_t> data;  // as it was when the address was taken
    };
    struct Announced {
        uint64_t address;
        uint32_t beats;
    };
    struct Beat {
        uint8_t data[BEAT];
        bool last;
    };
    struct Answer {
        uint64_t due, address;
        uint8_t resp;
        std::vector<uint8_t> data;  // written when the answer is given, no earlier
    };

    bool runs() {
        if (!set.stall) return true;
        return next() >= set.stall;
    }

    uint32_t next() {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        return static_cast<uint32_t>(random_ >> 32);
    }

    uint64_t due(uint32_t latency) {
        return now_ + (latency ? latency - 1 : 0) + (set.jitter ? next() % (set.jitter + 1) : 0);
    }

    uint8_t response(const std::vector<Failing>& failing, uint64_t address, uint64_t length) const {
        if (!inside(address, length)) return 3;
        for (const auto& range : failing)
            if (address < range.end && address + length > range.first) return range.resp;
        return 0;
    }

    bool inside(uint64_t address, uint64_t length) const {
        return address >= origin_ && address + length <= origin_ + size_;
    }

    void violate(Violation kind, bool wrong) { counts.violations[kind] += wrong; }

    void check_burst(uint64_t address, uint32_t beats, uint8_t size, uint8_t burst) {
        violate(CROSSES_PAGE, address / PAGE != (address + beats * beat_ - 1) / PAGE);
        violate(BURST_KIND, burst != INCR);
        violate(BEAT_SIZE, (1u << size) != beat_);
        violate(UNALIGNED, address % beat_ != 0);
        violate(OUTSIDE, !inside(address, beats * beat_));
    }

    // What was offered and not taken must be offered still.
    void check_stable(const MasterPins& now) {
        const MasterPins& was = before_;
        if (was.ar_valid && !was_ready_.ar_ready)
            violate(UNSTABLE_AR, !now.ar_valid || now.ar_addr != was.ar_addr || now.ar_len != was.ar_len ||
                                     now.ar_size != was.ar_size || now.ar_burst != was.ar_burst);
        if (was.aw_valid && !was_ready_.aw_ready)
            violate(UNSTABLE_AW, !now.aw_valid || now.aw_addr != was.aw_addr || now.aw_len != was.aw_len ||
                                     now.aw_size != was.aw_size || now.aw_burst != was.aw_burst);
        if (was.w_valid && !was_ready_.w_ready)
            violate(UNSTABLE_W, !now.w_valid || now.w_last != was.w_last || now.w_strb != was.w_strb ||
                                    std::memcmp(now.w_data, was.w_data, beat_) != 0);
        was_ready_ = pins;
    }

    void take_read(const MasterPins& m) {
        const uint32_t beats = m.ar_len + 1u, length = beats * beat_;
        check_burst(m.ar_addr, beats, m.ar_size, m.ar_burst);
        reads_.push_back({due(set.read_latency), beats, 0, m.ar_addr, std::vector<uint8_t>(length)});
        if (inside(m.ar_addr, length)) std::memcpy(reads_.back().data.data(), bytes_ + (m.ar_addr - origin_), length);
        ++counts.read_bursts;
    }

    void beat_taken() {
        ++counts.read_beats;
        credit_ -= set.bandwidth ? 256 * beat_ : 0;
        pins.r_valid = 0;
        auto& read = reads_.front();
        if (++read.sent == read.beats) reads_.pop_front();
    }

    void take_write(const MasterPins& m) {
        check_burst(m.aw_addr, m.aw_len + 1u, m.aw_size, m.aw_burst);
        announced_.push_back({m.aw_addr, m.aw_len + 1u});
        ++counts.write_bursts;
    }

    void take_beat(const MasterPins& m) {
        ++counts.write_beats;
        credit_ -= set.bandwidth ? 256 * beat_ : 0;
        violate(STROBES, m.w_strb != (1u << beat_) - 1);
        Beat beat{};
        std::memcpy(beat.data, m.w_data, beat_);
        beat.last = m.w_last;
        whole_ += beat.last;
        arrived_.push_back(beat);
    }

    // The oldest burst announced has all its beats.
    void finish_write() {
        const Announced burst = announced_.front();
        announced_.pop_front();
        const uint64_t length = static_cast<uint64_t>(burst.beats) * beat_;
        Answer answer{due(set.write_latency), burst.address, response(failing_writes, burst.address, length), {}};
        bool last = false;
        while (!last) {
            last = arrived_.front().last;
            answer.data.insert(answer.data.end(), arrived_.front().data, arrived_.front().data + beat_);
            arrived_.pop_front();
        }
        --whole_;
        violate(MISPLACED_LAST, answer.data.size() != length);
        answers_.push_back(std::move(answer));
    }

    void give_answer() {
        const Answer& answer = answers_.front();
        if (!answer.resp && inside(answer.address, answer.data.size()))
            std::memcpy(bytes_ + (answer.address - origin_), answer.data.data(), answer.data.size());
        pins.b_valid = 1;
        pins.b_resp = answer.resp;
        answers_.pop_front();
    }

    void drive() {
        const bool paid = credit_ >= 0;
        pins.ar_ready = reads_.size() < set.bursts && runs();
        pins.aw_ready = announced_.size() + answers_.size() < set.bursts && runs();
        pins.w_ready = paid && arrived_.size() < 256 * static_cast<std::size_t>(set.bursts) && runs();
        if (!pins.r_valid && paid && !reads_.empty() && reads_.front().due <= now_ && runs()) {
            const Read& read = reads_.front();
            const uint64_t at = static_cast<uint64_t>(read.sent) * beat_;
            pins.r_valid = 1;
            pins.r_last = read.sent + 1 == read.beats;
            pins.r_resp = response(failing_reads, read.address + at, beat_);
            std::memcpy(pins.r_data, read.data.data() + at, beat_);
        }
        if (!pins.b_valid && !answers_.empty() && answers_.front().due <= now_ && runs()) give_answer();
    }

    uint8_t* bytes_;
    uint64_t origin_, size_;
    uint32_t beat_;
    uint64_t now_ = 0, random_ = 1;
    int64_t credit_ = 0;
    MasterPins before_{};
    SlavePins was_ready_{};
    std::deque<Read> reads_;
    std::deque<Announced> announced_;
    std::deque<Beat> arrived_;
    uint32_t whole_ = 0;  // bursts whose last beat has arrived
    std::deque<Answer> answers_;
};
