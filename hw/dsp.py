"""Multiplier primitives of the families, each with its registers in use: what :mod:`hw.multiplier` and :mod:`hw.mac` choose from.

A function takes the module to put the primitive into and the signals it connects. Operands are extended with their sign.
Their models for simulation: Yosys's own, and tests/dsp_models.v where it has none.
"""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, ResetSignal, Signal, Value, signed


def extended(m: Module, value: Value, width: int) -> Signal:
    """``value`` with its sign in all bits above."""
    wide = Signal(signed(width))
    m.d.comb += wide.eq(value)
    return wide


def mult18x18d(m: Module, a: Value, b: Value, p: Signal, pipeline: bool = False) -> None:
    """ECP5. Operands' and output registers; why the one between them may stay empty: docs/decisions/0004-multiplier-primitive.md."""
    # SIGNEDA and SIGNEDB make bit 17 the sign. SOURCEA and SOURCEB at 0 take the
    # operands from A and B, not from the shift chain of the neighbouring multiplier.
    a_wide, b_wide = extended(m, a, 18), extended(m, b, 18)
    ports = {"i_CLK0": ClockSignal(), "i_CE0": Const(1), "i_RST0": Const(0)}
    ports |= {"i_SIGNEDA": Const(1), "i_SIGNEDB": Const(1), "i_SOURCEA": Const(0), "i_SOURCEB": Const(0)}
    for bit in range(18):
        ports |= {f"i_A{bit}": a_wide[bit], f"i_B{bit}": b_wide[bit], f"i_C{bit}": Const(0)}
    for bit in range(len(p)):
        ports[f"o_P{bit}"] = p[bit]
    parameters = {"p_REG_PIPELINE_CLK": "CLK0" if pipeline else "NONE", "p_GSR": "DISABLED", "p_SOURCEB_MODE": "B_SHIFT"}
    for register in ("INPUTA", "INPUTB", "OUTPUT"):
        parameters |= {f"p_REG_{register}_CLK": "CLK0", f"p_REG_{register}_CE": "CE0"}
        parameters[f"p_REG_{register}_RST"] = "RST0"
    m.submodules.dsp = Instance("MULT18X18D", **parameters, **ports)


def sb_mac16(m: Module, a: Value, b: Value, p: Signal) -> None:
    """iCE40 UltraPlus. Operands' registers and the one behind the sum of the four partial products.

    Its accumulator holds 32 bits and cannot start with a product in the cycle after a sum's last one: too little for a lane.
    """
    product = Signal(32)
    m.d.comb += p.eq(product)
    ports = {"i_CLK": ClockSignal(), "i_CE": Const(1), "o_O": product}
    ports |= {"i_A": extended(m, a, 16), "i_B": extended(m, b, 16), "i_C": Const(0, 16), "i_D": Const(0, 16)}
    for pin in ("AHOLD", "BHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "OLOADTOP", "OLOADBOT"):
        ports[f"i_{pin}"] = Const(0)
    for pin in ("ADDSUBTOP", "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT", "CI", "ACCUMCI", "SIGNEXTIN"):
        ports[f"i_{pin}"] = Const(0)
    parameters = {f"p_{name}": Const(1, 1) for name in ("A_REG", "B_REG", "PIPELINE_16x16_MULT_REG2")}
    parameters |= {f"p_{name}": Const(1, 1) for name in ("A_SIGNED", "B_SIGNED")}
    parameters |= {f"p_{half}OUTPUT_SELECT": Const(3, 2) for half in ("TOP", "BOT")}  # the product, not the accumulator
    m.submodules.dsp = Instance("SB_MAC16", **parameters, **ports)


def nexus_mult18x18(m: Module, a: Value, b: Value, p: Signal) -> None:
    """Nexus. Operands' and output registers."""
    product = Signal(36)
    m.d.comb += p.eq(product)
    ports = {"i_CLK": ClockSignal(), "i_A": extended(m, a, 18), "i_B": extended(m, b, 18), "o_Z": product}
    ports |= {f"i_{pin}": Const(1) for pin in ("CEA", "CEB", "CEOUT", "SIGNEDA", "SIGNEDB")}
    ports |= {f"i_{pin}": Const(0) for pin in ("RSTA", "RSTB", "RSTOUT")}
    parameters = {f"p_{register}": "REGISTER" for register in ("REGINPUTA", "REGINPUTB", "REGOUTPUT")}
    m.submodules.dsp = Instance("MULT18X18", p_GSR="DISABLED", p_RESETMODE="SYNC", **parameters, **ports)


def gowin_mult18x18(m: Module, a: Value, b: Value, p: Signal) -> None:
    """Gowin GW1N and GW2A. Operands' and output registers."""
    product = Signal(36)
    m.d.comb += p.eq(product)
    ports = {"i_CLK": ClockSignal(), "i_A": extended(m, a, 18), "i_B": extended(m, b, 18), "o_DOUT": product}
    ports |= {f"i_{pin}": Const(1) for pin in ("CE", "ASIGN", "BSIGN")}
    ports |= {f"i_{pin}": Const(0) for pin in ("RESET", "ASEL", "BSEL")}
    ports |= {"i_SIA": Const(0, 18), "i_SIB": Const(0, 18)}
    parameters = {f"p_{register}": Const(1, 1) for register in ("AREG", "BREG", "OUT_REG")}
    m.submodules.dsp = Instance("MULT18X18", **parameters, **ports)


def dsp48(m: Module, *, primitive: str, a: Value, b: Value, p: Signal, coming=None, last=None) -> None:
    """Xilinx: DSP48E1 of the 7-series, DSP48E2 of UltraScale.

    Without ``coming`` and ``last`` a multiplier with operands' and output registers. With them P sums up, behind the
    multiplier's register: it takes the product in the cycle after ``coming``, and starts from zero in the cycle after ``last``.
    """
    sums = coming is not None
    total = Signal(48)
    m.d.comb += p.eq(total)
    # X and Y choose the product or zero, Z chooses P or zero.
    product, p_again = (coming, ~last) if sums else (Const(1), Const(0))
    opmode = Cat(product, Const(0), product, Const(0, 2), p_again, Const(0))
    wide = primitive == "DSP48E2"
    ports = {"i_CLK": ClockSignal(), "o_P": total, "i_OPMODE": Cat(opmode, Const(0, 2)) if wide else opmode}
    ports |= {
        "i_A": extended(m, a, 30),
        "i_B": extended(m, b, 18),
        "i_C": Const(0, 48),
        "i_D": Const(0, 27 if wide else 25),
    }
    ports |= {"i_ACIN": Const(0, 30), "i_BCIN": Const(0, 18), "i_PCIN": Const(0, 48)}
    ports |= {"i_ALUMODE": Const(0, 4), "i_INMODE": Const(0, 5), "i_CARRYINSEL": Const(0, 3)}
    ports |= {f"i_{pin}": Const(0) for pin in ("CARRYIN", "CARRYCASCIN", "MULTSIGNIN")}
    for register in ("A1", "A2", "B1", "B2", "M", "P", "AD", "ALUMODE", "C", "CARRYIN", "CTRL", "D", "INMODE"):
        ports[f"i_CE{register}"] = Const(register in {"A2", "B2", "M", "P"})
    for register in ("A", "B", "M", "ALLCARRYIN", "ALUMODE", "C", "CTRL", "D", "INMODE"):
        ports[f"i_RST{register}"] = Const(0)
    ports["i_RSTP"] = ResetSignal() if sums else Const(0)
    used = {"AREG": 1, "BREG": 1, "ACASCREG": 1, "BCASCREG": 1, "MREG": int(sums), "PREG": 1}
    for register in ("AD", "ALUMODE", "C", "CARRYIN", "CARRYINSEL", "D", "INMODE", "OPMODE"):
        used[f"{register}REG"] = 0
    m.submodules.dsp = Instance(primitive, **{f"p_{name}": value for name, value in used.items()}, **ports)
