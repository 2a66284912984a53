"""Bitstreams: what is put around a board's logic, and the whole flow on logic that is placed in seconds."""

import json
import re
from dataclasses import replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect
from click.testing import CliRunner

import gradloom.board
from gradloom.cli import main
from hw.emit import emit
from hw.fifo import Fifo
from hw.uart import Uart
from spec.boards import BOARDS
from spec.netlist import Netlist
from synth.board import bitstream, constraints, top_verilog
from synth.targets import SynthError

I5, ULX3S = BOARDS["colorlight-i5"], BOARDS["ulx3s-85f"]


class Echo(wiring.Component):
    """Pins of a board's logic; says again what it hears."""

    def __init__(self, divider):
        self.divider = divider
        super().__init__({"rx": In(1), "tx": Out(1), "led": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart = uart = Uart(self.divider)
        m.submodules.queue = queue = Fifo(8, 16)
        m.d.comb += [uart.rx.eq(self.rx), self.tx.eq(uart.tx), self.led.eq(uart.valid)]
        m.d.comb += [queue.i.p.eq(uart.byte.data), queue.i.valid.eq(uart.valid)]
        connect(m, queue.o, uart.i)
        return m


@pytest.fixture
def echo(tmp_path):
    return emit(Echo(8), "board", spec=I5, folder=tmp_path / "logic")


def test_pins_of_a_board():
    text = constraints(ULX3S)
    assert 'FREQUENCY PORT "oscillator" 25 MHZ;' in text
    sites = dict(re.findall(r'LOCATE COMP "(\w+)" SITE "(\w+)";', text))
    assert sites == {"oscillator": "G2", "rx": "M1", "tx": "L4", "led": "B2", "wifi_gpio0": "L2"}
    assert set(re.findall(r'IOBUF PORT "(\w+)" IO_TYPE=LVCMOS33', text)) == set(sites)


def test_levels_around_the_logic():
    assert "assign led = lit;" in top_verilog(ULX3S, "board")
    assert "assign wifi_gpio0 = 1'b1;" in top_verilog(ULX3S, "board")
    assert "assign led = ~lit;" in top_verilog(I5, "board")


@pytest.mark.pnr
@pytest.mark.parametrize("board", [I5, ULX3S], ids=lambda board: board.name)
def test_logic_becomes_a_bitstream(board, echo, tmp_path):
    report, files = bitstream(board, echo.verilog, echo.top, out=tmp_path / "out", progress=False)
    assert [file.name for file in files] == [f"{board.name}.{kind}" for kind in ("v", "lpf", "bit")]
    bits = files[-1].read_bytes()
    assert b"Part: " in bits[:200]
    assert board.target.removeprefix("ecp5-").upper().replace("K", "F").encode() in bits[:200]
    assert report["fmax_mhz"] >= report["mhz"] == board.mhz
    assert 0 < report["lut4"] < 500
    assert report["bram"] == report["dsp"] == 0
    assert report["critical_path"]


@pytest.mark.pnr
def test_a_clock_that_is_not_reached_gives_no_bitstream(echo, tmp_path):
    with pytest.raises(SynthError, match=r"^board colorlight-i5: routed at [\d.]+ MHz, its clock is 400: ask for less "):
        bitstream(replace(I5, mhz=400), echo.verilog, echo.top, out=tmp_path, progress=False)
    assert not list(tmp_path.glob("*.bit"))


def test_a_clock_that_the_pll_cannot_make_is_refused(echo, tmp_path):
    text = r"^board colorlight-i5: mhz must be one that its PLL makes, not 71.3; nearest: [\d.]+$"
    with pytest.raises(SynthError, match=text):
        bitstream(replace(I5, mhz=71.3), echo.verilog, echo.top, out=tmp_path, progress=False)


@pytest.mark.pnr
def test_one_command_writes_everything(echo, tmp_path, monkeypatch):
    def logic(board, target=None):
        assert target == "ecp5"
        return Netlist(verilog=echo.verilog, top=echo.top)

    monkeypatch.setattr(gradloom.board, "board_netlist", logic)
    result = CliRunner().invoke(main, ["bitstream", "--board", "colorlight-i5", "--json", "-"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["board"] == "colorlight-i5"
    assert report["chip"] == "colorlight-i5"
    assert [file.rpartition(".")[2] for file in report["files"]] == ["v", "lpf", "bit", "json"]
    assert json.loads((tmp_path / "bitstream-colorlight-i5/report.json").read_text()) == report
    unknown = CliRunner().invoke(main, ["bitstream", "--board", "icestick"])
    assert unknown.exit_code == 2
    assert unknown.stderr == "Error: unknown board 'icestick'; known boards: ulx3s-85f, colorlight-i5\n"
