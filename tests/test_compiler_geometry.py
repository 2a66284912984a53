"""Windows, phases of strided weight gradients, tilings and numbers of several words, against brute force."""

import random
from itertools import pairwise

import numpy as np
import pytest
from compiler_cases import ODD

from golden.conv import out_size
from golden.emulator_scratch import packed
from golden.window import seen
from host.compiler.emit import Emitter, Span, pipeline
from host.compiler.errors import DoesNotFit
from host.compiler.geometry import GROWTHS, Axis, Window, backward_axis, cut, forward_axis, ramp
from host.compiler.gradient import blocks
from host.compiler.memory import view
from host.compiler.phases import parted, sides
from host.compiler.scalars import pack_scalars, unpack_sums
from host.compiler.tiling import Reduction, choose, pipelined, repeated
from host.program import Label
from host.tensor import Tensor
from spec.chip import CHIPS, Chip
from spec.isa import Opcode, entry_bricks, record_bricks


def windows(r: random.Random):
    while True:
        size, kernel, stride = r.randint(1, 14), r.randint(1, 6), r.randint(1, 4)
        padding = r.randint(0, kernel - 1)
        if size + 2 * padding >= kernel:
            return size, out_size(size, kernel, stride, padding), kernel, stride, padding


@pytest.mark.parametrize("number", range(40))
def test_phases_pair_every_position_with_its_outputs_once(number, seed):
    r = random.Random(100 * seed + number)
    size, out, kernel, stride, padding = windows(r)
    want = {(o * stride - padding + tap, o, tap) for o in range(out) for tap in range(kernel)}
    want = {(position, o, tap) for position, o, tap in want if 0 <= position < size}
    got = []
    for whole in sides(size, out, kernel, stride, padding):
        for side in parted(whole, r.randint(1, whole.taps)):
            begin = r.randint(0, side.size)
            for positions in (range(begin), range(begin, side.size)):
                if not positions:
                    continue
                low, high = side.met(positions.start, positions.stop)
                for i in positions:
                    for q in range(side.taps):
                        # Place in B, counted from the output that the part's first position meets under the last tap.
                        place = i - positions.start + side.taps - 1 - q
                        o = positions.start + side.lowest + place
                        assert o == i + side.edge - q
                        if 0 <= o < out:
                            assert low <= o < high
                            got.append((side.offset + stride * i, o, side.first + stride * q))
            # Zeros behind one line are those before the next.
            low, high = side.met(0, side.size)
            assert side.pitch >= side.border + high - low
            assert side.size + side.taps - 1 <= side.pitch + side.border
    assert len(got) == len(set(got))
    assert set(got) == want


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("number", range(30))
def test_tiles_see_what_the_whole_sees(number, back, seed):
    r = random.Random(100 * seed + number)
    make = backward_axis if back else forward_axis
    while True:
        size, out, kernel, stride, padding = windows(r)
        height = r.randint(1, 9)
        if height + 2 * padding >= kernel:
            break
    out_y = out_size(height, kernel, stride, padding)
    y, x = make(height, out_y, kernel, stride, padding), make(size, out, kernel, stride, padding)
    bricks = r.randint(1, 3)
    window = Window(y, x, Tensor("u", 0, (r.randint(1, 5), y.size, x.size, 8 * bricks), 2))
    room = window.seen_bricks(1, 1) + r.randint(0, 4 * window.seen_bricks(1, y.out))
    tiles = cut(
        window, lambda images, lines: window.seen_bricks(images, lines) <= room, r.randint(1, 4), r.choice(GROWTHS)
    )
    assert tiles is not None
    whole = tiles[0].__class__(0, 0, window.batch, 0, y.out, 0, y.size)
    base, fields = window.fields(whole, 0)
    rows = np.arange(window.rows(whole))
    inside, address = seen(fields, rows, base)
    done = 0
    for tile in tiles:
        assert window.first_row(tile) == done
        assert tile.images * tile.seen * x.size * bricks <= window.seen_bricks(tile.images, tile.lines) <= room
        base, fields = window.fields(tile, 0)
        own_inside, own = seen(fields, np.arange(window.rows(tile)), base)
        part = slice(done, done + window.rows(tile))
        np.testing.assert_array_equal(own_inside, inside[part])
        # Where the tile's load has put the brick that the whole operand has there.
        first, shape = window.load_shape(tile)
        place = {
            first + i * shape["memory_1"] + n: i * shape["scratch_1"] + n
            for i in range(shape["count_1"])
            for n in range(shape["bricks"])
        }
        want = [place[int(a)] for a in address[part][own_inside]]
        np.testing.assert_array_equal(own[own_inside], want)
        done += window.rows(tile)
    assert done == len(rows)


def test_pieces_grow_and_shrink():
    assert ramp(40, 9, 0) == [8] * 5
    assert ramp(40, 9, 3) == [1, 3, 9, 9, 9, 9]
    assert ramp(40, 9, 1) == [1, 1, 2, 3, 4, 5, 6, 7, 6, 5]
    assert ramp(41, 9, 3, True) == [1, 3, 9, 8, 8, 8, 3, 1]
    for count in range(1, 60):
        for most in range(1, 20):
            for growth in GROWTHS:
                for down in (False, True):
                    pieces = ramp(count, most, growth, down)
                    assert sum(pieces) == count
                    assert 1 <= min(pieces)
                    assert max(pieces) <= most


@pytest.mark.parametrize(
    "chip", [chip for chip in (*CHIPS.values(), ODD) if chip.scratch_banks > 1], ids=lambda chip: chip.name
)
def test_buffers_lie_apart_and_in_banks_of_their_own(chip):
    e, depth = Emitter(chip), chip.scratch_depth
    sizes = {"b": depth // 2, "a0": depth // 4, "a1": depth // 4, "c0": 3, "c1": 5}
    first, second = e.layout(Label(0, "FP", ""), sizes), e.layout(Label(0, "BP", ""), sizes)
    for spans in (first, second):
        assert {name: span.bricks for name, span in spans.items()} == sizes
        ordered = sorted(spans.values())
        assert all(one.end <= other.base for one, other in pairwise(ordered))
        assert 0 <= ordered[0].base
        assert ordered[-1].end <= chip.scratch_bricks
        assert spans["a0"].base // depth == spans["a1"].base // depth
        assert spans["a0"].base // depth != spans["b"].base // depth
    if chip.scratch_banks > 2:  # what one layer still works on is not where the next one loads
        assert all(
            one.end <= other.base or other.end <= one.base for one in first.values() for other in second.values()
        )
    tight = e.layout(Label(0, "FP", ""), {"a0": depth - 1, "a1": chip.scratch_bricks - depth + 1})
    assert sum(span.bricks for span in tight.values()) == chip.scratch_bricks
    with pytest.raises(DoesNotFit, match=f"node 3: WG with b of {chip.scratch_bricks} bricks takes "):
        e.layout(Label(3, "WG", ""), {"a": 1, "b": chip.scratch_bricks})


def test_stores_that_are_put_off_come_before_what_they_disturb():
    chip = CHIPS["tiny"]
    tensor, other = Tensor("t", 0, (64, 8), 2), Tensor("o", 4096, (64, 8), 2)
    label, a, c = Label(0, "FP", ""), Span(0, 64), Span(64, 64)

    def job(e: Emitter):
        e.load(label, tensor, 0, a, bricks=64)
        yield
        e.issue(Opcode.PRODUCT, label, {}, (a,), (c,))
        yield
        e.store(label, other, 0, c, bricks=64)

    def opcodes(e: Emitter) -> list[Opcode]:
        e.end()
        return [command.opcode for part in e.parts for command in part.commands]

    e = Emitter(chip)  # the next loads something else, elsewhere
    pipeline(e, [job(e)], 2)
    e.load(label, tensor, 0, Span(128, 64), bricks=64)
    e.issue(Opcode.PRODUCT, label, {}, (Span(128, 64),), (Span(192, 64),))
    assert opcodes(e) == [Opcode.LOAD, Opcode.PRODUCT, Opcode.LOAD, Opcode.PRODUCT, Opcode.STORE, Opcode.END]
    for memory, scratch in ((other, Span(128, 64)), (tensor, c)):  # what is stored, or over what is to be stored
        e = Emitter(chip)
        pipeline(e, [job(e)], 2)
        e.load(label, memory, 0, scratch, bricks=64)
        assert opcodes(e) == [Opcode.LOAD, Opcode.PRODUCT, Opcode.STORE, Opcode.LOAD, Opcode.END]


def test_estimated_overlap():
    jobs = [(10.0, 100.0, 20.0)] * 5
    assert pipelined(jobs, 2) == repeated(5, jobs[0], 2) == 10 + 500 + 20
    assert pipelined(jobs, 1) == repeated(5, jobs[0], 1) == 650
    # With three buffers the second load does not wait for the first work.
    assert pipelined([(10, 5, 0)] * 4, 2) == 10 + 10 + 10 + 10 + 5
    assert pipelined([(10, 5, 4)] * 4, 3) == 4 * (10 + 4)
    # The second job's load is longer than the first one's work; the first one's store and the third one's load share the
    # memory.
    assert pipelined([(1, 2, 1), (10, 3, 2), (5, 4, 1)], 2) == 1 + 10 + (1 + 5) + 4 + 1


def test_no_line_fits():
    window = Window(Axis(4, 4, 1, 0), Axis(4, 4, 1, 0), Tensor("u", 0, (1, 4, 4, 8), 2))
    assert cut(window, lambda images, lines: False) is None


@pytest.mark.parametrize("chip", [*CHIPS.values(), ODD], ids=lambda chip: chip.name)
def test_tilings_keep_the_chips_bounds(chip, seed):
    r = random.Random(seed)
    for _ in range(200):
        m, n, masked, chained = r.randint(1, 500), r.randint(1, 300), r.random() < 0.5, r.random() < 0.3
        reduction = r.choice([
            Reduction(r.randint(1, 200), 1, 8, r.random() < 0.5),
            Reduction(r.randint(1, 49), 1, r.randint(1, 8), r.random() < 0.5),
        ])  # fmt: skip
        try:
            t = choose(chip, Label(0, "FP", ""), m, n, reduction, masked, chained)
        except DoesNotFit:
            continue
        whole = t.columns * chip.lanes >= n
        assert whole or t.columns * chip.lanes % (64 if masked else 8) == 0
        assert t.k_tile <= chip.list_depth
        assert t.k_tile * t.columns <= chip.bank_depth // 2
        assert t.rows * t.columns <= chip.psum_depth // chip.lanes
        assert not chained or (whole and m <= t.rows * chip.groups)
        tiles = -(-reduction.all_rows // t.k_tile)
        assert -(-reduction.all_bricks // t.a_tile) == tiles
        assert tiles == 1 or t.k_tile * reduction.bricks == t.a_tile * reduction.rows
        assert t.row_tile == (m if tiles == 1 and not chained else min(m, t.rows * chip.groups))


def test_blocks_are_bricks_or_equal_pieces_of_one():
    for channels in range(1, 70):
        for most in range(1, 80):
            cut_up = blocks(channels, most)
            assert [b.first for b in cut_up] == list(np.cumsum([0, *(b.count for b in cut_up[:-1])]))
            assert sum(b.count for b in cut_up) == channels
            assert max(b.count for b in cut_up) <= most
            # None begins in one brick and ends in another unless it begins with the brick.
            assert all(b.first % 8 == 0 or b.bricks == 1 for b in cut_up)


@pytest.mark.parametrize("width", [8, 16, 18])
def test_numbers_of_several_words(width, seed):
    rng = np.random.default_rng(seed)
    chip = Chip(width=width, acc_width=max(48, 2 * width + 4))
    half, wide = 1 << 17, 1 << (chip.acc_width - 1)
    channels = [
        (int(rng.integers(-half, half)), int(rng.integers(-half, half)), int(rng.integers(-wide, wide)))
        for _ in range(5)
    ]
    table = pack_scalars(chip, channels, 8).reshape(8, entry_bricks(chip) * 8)
    assert np.abs(table).max() <= 1 << (width - 1)
    got = packed(table, (18, 18, chip.acc_width), width)
    assert list(zip(*(values.tolist() for values in got), strict=True)) == channels + [(0, 0, 0)] * 3
    with pytest.raises(ValueError, match="scalar must fit 18 bits: 131072"):
        pack_scalars(chip, [(half, 0, 0)], 1)
    records = rng.integers(-(1 << (width - 1)), 1 << (width - 1), (8 * record_bricks(chip), 8))
    want = packed(records.reshape(8, -1)[:5], (chip.acc_width, chip.acc_width), width)
    assert [list(values) for values in unpack_sums(chip, records, 5)] == [values.tolist() for values in want]


def test_tensors_of_padded_channels(seed):
    rng = np.random.default_rng(seed)
    tensor = Tensor("t", 64, (2, 3, 11), 2)
    words = rng.integers(-(1 << 15), 1 << 15, tensor.shape)
    data = tensor.pack(words)
    assert len(data) == tensor.size == 2 * 3 * 16 * 2
    np.testing.assert_array_equal(tensor.unpack(data), words)
    assert not np.frombuffer(data, "<i2").reshape(6, 16)[:, 11:].any()
    assert tensor.at(3) == 64 + 48
    with pytest.raises(ValueError, match=r"t: words must have shape \(2, 3, 11\), not \(6, 11\)"):
        tensor.pack(words.reshape(6, 11))
    with pytest.raises(ValueError, match="t: words must be -32768 to 32767, not 0 to 32768"):
        tensor.pack(np.full(tensor.shape, 1 << 15) * (np.arange(66).reshape(tensor.shape) > 0))
    with pytest.raises(ValueError, match="t: takes 192 bytes, not 3"):
        tensor.unpack(b"abc")


def test_views_keep_bricks():
    image = Tensor("t", 0, (2, 3, 3, 16), 2)
    assert view(image, (2, 144)).shape == (2, 144)
    assert view(Tensor("t", 0, (2, 1, 1, 5), 2), (2, 5)).bricks == 2
    with pytest.raises(ValueError, match=r"t: bricks of \(2, 2, 2, 4\) are not those of \(2, 16\)"):
        view(Tensor("t", 0, (2, 2, 2, 4), 2), (2, 16))
