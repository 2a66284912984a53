// The clocks of a machine whose units are left out of a cycle while they rest; see tb/native/gating.py.
#pragma once

template <class Top>
class Clocks {
    static constexpr int REST = 64;  // cycles that a unit's clock goes on behind its last command

    Top& top;
    int left[2] = {REST, REST};  // cycles until the unit rests

    bool runs(int unit) {
        if (top.active >> unit & 1) left[unit] = REST;
        if (!left[unit]) return !rests;
        --left[unit];
        return true;
    }

public:
    bool rests = true;

    explicit Clocks(Top& of) : top(of) { top.clk = top.clk_product = top.clk_vector = 0; }

    void wake() { left[0] = left[1] = REST; }

    // Inputs set before the call are seen by this rising edge.
    void edge() {
        top.clk = 1;
        top.clk_product = runs(0);
        top.clk_vector = runs(1);
        top.eval();
        top.clk = top.clk_product = top.clk_vector = 0;
        top.eval();
    }
};
