"""The line to a board: its bytes, what is lost on it, and a whole training run over it with an emulator at the other end."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_board import FakeBoard, noise

from golden.layers import GoldenExecute
from golden.presets import preset
from golden.tally import Tally
from host.board import BoardBackend
from host.datasets import load
from host.driver import Driver
from host.link import Link, LinkError, Refused
from host.machines import MachineError
from host.session import Session
from spec.boards import BOARDS, BoardError, Design, load_board
from spec.chip import CHIPS
from spec.isa import ErrorCode, Opcode, encode
from spec.link import END, ESCAPE, MAX_DATA, QUEUE_BYTES, Frames, Op, Request, checked, slip
from spec.registers import offset

TINY = CHIPS["tiny"]
PAGE = Path(__file__).parents[1] / "docs/boards.md"
SMALL = replace(preset("mlp"), hidden=(16,), batch=16)


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)


def test_bodies_come_back_from_frames_cut_anywhere(rng):
    bodies = [bytes(rng.choice([END, ESCAPE, 0xDC, 0xDD, 7], int(rng.integers(1, 50))).astype(np.uint8)) for _ in range(200)]
    line = b"".join(map(slip, bodies))
    frames, got = Frames(), []
    while line:
        size = int(rng.integers(1, 90))
        got += frames.feed(line[:size])
        line = line[size:]
    assert got == bodies


@pytest.mark.parametrize("frame", [b"", b"\x01\x02\x03", b"\x01\x02\x03\x04\x05", bytes([ESCAPE]), bytes([ESCAPE, 0]), bytes(9)])
def test_damaged_frames_are_found(frame):
    assert checked(frame) is None


def test_the_pages_example_is_a_frame():
    hex_bytes = re.search(r"^`(C0 01 [0-9A-F ]+)`", PAGE.read_text(), re.MULTILINE)[1]
    assert bytes.fromhex(hex_bytes) == Request(Op.READ_REGISTER, 0x1000).frame(1)


def link(board):
    return Link(board, "/dev/board", patience=0.0)


@pytest.mark.parametrize("bad", [0.0, 0.1])
def test_what_is_lost_is_asked_again(rng, seed, bad):
    board = FakeBoard(TINY, 1 << 16, bad, seed)
    line, memory = link(board), np.zeros(1 << 16, np.uint8)
    for _ in range(30):
        count = int(rng.integers(1, 40))
        places = 2048 * rng.permutation(32)[:count] + 8 * rng.integers(0, 100, min(count, 32))
        pieces = [(int(at), rng.bytes(8 * int(rng.integers(1, 20)))) for at in places]
        line.ask([Request(Op.WRITE_MEMORY, at, len(data) // 8, data) for at, data in pieces])
        for at, data in pieces:
            memory[at : at + len(data)] = np.frombuffer(data, np.uint8)
        np.testing.assert_array_equal(board.memory, memory)
        got = line.ask([Request(Op.READ_MEMORY, at, len(data) // 8) for at, data in pieces])
        assert got == [data for _, data in pieces]
    assert bad or board.most <= QUEUE_BYTES  # what is sent again was taken from the queue before
    assert (line.repeated > 0) == (bad > 0)


def test_registers_are_written_once_each(rng, seed):
    board = FakeBoard(TINY, 4096, 0.1, seed)
    line = link(board)
    line.ask([Request(Op.READ_REGISTER, 0)])
    values = [int(value) for value in rng.integers(0, 1 << 32, 60)]
    requests = [Request(Op.WRITE_REGISTER, offset("watchdog"), data=value.to_bytes(4, "little")) for value in values]
    line.ask([one for request in requests for one in (request, Request(Op.READ_REGISTER, offset("watchdog")))])
    assert [value for _, value in board.written] == values


def test_a_line_of_noise_is_no_answer(rng, seed):
    board = FakeBoard(TINY, 4096, seed=seed)
    board._out += noise(rng, 200)
    assert link(board).ask([Request(Op.READ_REGISTER, 0x1004)]) == [(4096).to_bytes(4, "little")]


def test_nobody_answers():
    with pytest.raises(LinkError, match=r"^/dev/board does not answer: read_register was sent 4 times$"):
        BoardBackend(link(FakeBoard(TINY, 4096, deaf=True)), TINY)


def test_a_request_that_is_refused():
    line = link(FakeBoard(TINY, 4096))
    with pytest.raises(Refused, match=r"^board: write_register at 0x0: refused$"):
        line.ask([Request(Op.WRITE_REGISTER, 0, data=bytes(4))])
    with pytest.raises(Refused, match=r"^board: read_memory at 0x1000: bad$"):
        line.ask([Request(Op.READ_MEMORY, 4096)])


def test_another_chips_board_is_refused():
    other = CHIPS["ecp5-64"]
    text = f"/dev/board: the board holds chip {other.digest}, not tiny ({TINY.digest}): another bitstream"
    with pytest.raises(LinkError, match=f"^{re.escape(text)}$"):
        BoardBackend(link(FakeBoard(other, 4096)), TINY)


def test_memory_of_any_size(rng):
    board = BoardBackend(link(FakeBoard(TINY, 1 << 14)), TINY)
    data = rng.bytes(3 * MAX_DATA + 16)
    board.write(64, data)
    assert board.read(64, len(data)) == data
    assert board.read(64 + MAX_DATA, 8) == data[MAX_DATA : MAX_DATA + 8]
    assert board.read(0, 0) == b""


@pytest.mark.parametrize("bad", [0.0, 0.02])
def test_trains_to_goldens_words_over_a_bad_line(seed, bad):
    board = FakeBoard(TINY, 1 << 15, bad, seed)
    session = Session(SMALL, load("digits"), BoardBackend(link(board), TINY), check=True)
    for _ in range(3):
        session.step()
    assert session.differing_words == 0
    assert session.words_compared > 10_000
    assert board.starts == 6
    # More samples than memory has room for at once.
    whole = Session(SMALL, load("digits"), BoardBackend(link(FakeBoard(TINY, 1 << 22)), TINY))
    whole.driver.restore(session.driver.state())
    samples = session.samples.test_x[:200]
    np.testing.assert_array_equal(session.predict(samples), whole.predict(samples))


def test_a_network_that_memory_has_no_room_for(seed):
    samples = load("digits")
    driver = Driver(SMALL.graph(samples), BoardBackend(link(FakeBoard(TINY, 8192)), TINY))
    plans = [SMALL.sgd.plan(formats, 16) for formats in driver.formats]
    text = r"^mlp: for 16 samples tensors take \d+ bytes, memory has room for \d+ beside \d+ of commands: \d+ bytes too many$"
    x = samples.words(samples.train_x[:16], SMALL.inputs)
    with pytest.raises(ValueError, match=text):
        driver.step(Tally(GoldenExecute()), x, samples.train_y[:16], plans, SMALL.rounding, 0)


def test_a_machine_that_stops_says_where():
    board = BoardBackend(link(FakeBoard(TINY, 8192)), TINY)
    with pytest.raises(MachineError, match=r"^descriptor 0: read_bus$") as caught:
        board.run(encode(Opcode.LOAD, address=1 << 17) + encode(Opcode.END))
    assert caught.value.code == ErrorCode.READ_BUS


def test_boards_are_consistent():
    for name, board in BOARDS.items():
        assert name == board.name
        assert board.design().chip.name == board.chip
        assert board.divider >= 4


def test_boards_that_cannot_be_are_refused():
    with pytest.raises(BoardError, match=r"^unknown board 'icestick'; known boards: ulx3s-85f, colorlight-i5$"):
        load_board("icestick")
    text = r"^board ulx3s-85f: 10 MHz / 3 misses 3000000 baud by 11.1%, more than 2%$"
    with pytest.raises(BoardError, match=text):
        _ = replace(BOARDS["ulx3s-85f"], mhz=10).divider
    with pytest.raises(BoardError, match=r"^memory_bytes must be a multiple of 4096, not 5000$"):
        Design(chip=TINY, memory_bytes=5000, divider=4, clock_hz=1)
    with pytest.raises(BoardError, match=r"^divider must be at least 4, not 3$"):
        Design(chip=TINY, memory_bytes=4096, divider=3, clock_hz=1)
