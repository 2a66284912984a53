"""Block RAM primitives with their output register: what :mod:`hw.bram` puts memories together from.

A function gives one block, written on one port and read on the other, ``width`` bits wide. The read port's two registers
hold while ``r_en`` is low. Their models for simulation are ours, tests/*_models.v: Yosys carries none.
"""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Signal

SKIPPED = {1: 0, 2: 1, 4: 2, 9: 3, 18: 4, 36: 5}  # low bits of an address that tell bits of a word apart


def dp16kd(width, w_en, w_addr, w_data, r_en, r_addr, r_data):
    """ECP5: port A writes, port B reads.

    Addresses are in units of bits, so wide words start above address bit 0. The freed low
    bits of the writing port are byte enables from 18 bits up. At 36 bits the ports lend
    each other their data pins: DIA and DOA carry the low half, DIB and DOB the high half.
    """
    skipped = SKIPPED[width]
    enables = {18: 2, 36: 4}.get(width, 0)
    wide = width == 36
    write_address = Cat(Const((1 << enables) - 1, enables), Const(0, skipped - enables), w_addr)
    read_address = Cat(Const(0, skipped), r_addr)

    ports = {"i_CLKA": ClockSignal(), "i_CLKB": ClockSignal()}
    ports |= {"i_CEA": Const(1), "i_WEA": w_en, "i_OCEA": r_en, "i_RSTA": Const(0)}
    ports |= {"i_CEB": r_en, "i_WEB": Const(0), "i_OCEB": r_en, "i_RSTB": Const(0)}
    for bit in range(3):
        ports |= {f"i_CSA{bit}": Const(0), f"i_CSB{bit}": Const(0)}
    for bit in range(14):
        ports |= {f"i_ADA{bit}": write_address[bit], f"i_ADB{bit}": read_address[bit]}
    for bit in range(18):
        ports |= {f"i_DIA{bit}": _bit(w_data, bit), f"i_DIB{bit}": _bit(w_data, bit + 18)}
    for bit in range(len(r_data)):
        pin = f"DOA{bit}" if wide and bit < 18 else f"DOB{bit % 18}"
        ports[f"o_{pin}"] = r_data[bit]

    parameters = {"p_DATA_WIDTH_A": width, "p_DATA_WIDTH_B": width}
    parameters |= {"p_REGMODE_A": "OUTREG", "p_REGMODE_B": "OUTREG", "p_GSR": "DISABLED"}
    return Instance("DP16KD", **parameters, **ports)


def pdpsc16k(width, w_en, w_addr, w_data, r_en, r_addr, r_data):
    """Nexus: a write and a read port on one clock. Low address bits of the write port are byte enables from 18 bits up."""
    skipped = SKIPPED[width]
    ones = Const(-1, 14)
    ports = {"i_CLK": ClockSignal(), "i_CEW": w_en, "i_CER": r_en, "i_RST": Const(0)}
    ports |= {"i_CSW": Const(7, 3), "i_CSR": Const(7, 3)}
    ports |= {"i_ADW": _address(ones, skipped, w_addr), "i_ADR": _address(ones, skipped, r_addr)}
    ports |= {"i_DI": Cat(w_data, Const(0, 36 - len(w_data))), "o_DO": _wide(r_data, 36)}
    parameters = {"p_DATA_WIDTH_W": f"X{width}", "p_DATA_WIDTH_R": f"X{width}", "p_OUTREG": "USED"}
    parameters |= {"p_CSDECODE_W": "111", "p_CSDECODE_R": "111", "p_ECC": "DISABLED", "p_GSR": "DISABLED"}
    parameters |= {"p_RESETMODE": "SYNC", "p_ASYNC_RST_RELEASE": "SYNC"}
    return Instance("PDPSC16K", **parameters, **ports)


def sdpb(width, w_en, w_addr, w_data, r_en, r_addr, r_data):
    """Gowin: port A writes, port B reads; SDPX9B for words of nine bits and more, SDPB for narrower ones.

    Low address bits of the write port are byte enables from 18 bits up.
    """
    skipped = SKIPPED[width]
    enables = Const({18: 0b0011, 36: 0b01111}.get(width, 0), 14)
    pins = 36 if width >= 9 else 32
    ports = {"i_CLKA": ClockSignal(), "i_CLKB": ClockSignal(), "i_CEA": w_en, "i_CEB": r_en, "i_OCE": r_en}
    ports |= {"i_RESETA": Const(0), "i_RESETB": Const(0), "i_BLKSELA": Const(0, 3), "i_BLKSELB": Const(0, 3)}
    ports |= {"i_ADA": _address(enables, skipped, w_addr), "i_ADB": _address(Const(0, 14), skipped, r_addr)}
    ports |= {"i_DI": Cat(w_data, Const(0, pins - len(w_data))), "o_DO": _wide(r_data, pins)}
    parameters = {"p_READ_MODE": Const(1, 1), "p_BIT_WIDTH_0": width, "p_BIT_WIDTH_1": width, "p_RESET_MODE": "SYNC"}
    parameters |= {"p_BLK_SEL_0": Const(0, 3), "p_BLK_SEL_1": Const(0, 3)}
    return Instance("SDPX9B" if width >= 9 else "SDPB", **parameters, **ports)


def _address(low, skipped, address):
    """Fourteen bits in units of bits: the word's ``address`` above as many of ``low`` as a word skips."""
    return Cat(low[:skipped], address, Const(0, 14))[:14]


def _wide(data, pins):
    """``data`` as the low ones of ``pins`` outputs."""
    return Cat(data, Signal(pins - len(data), name="unread")) if len(data) < pins else data


def _bit(signal, bit):
    return signal[bit] if bit < len(signal) else Const(0)
