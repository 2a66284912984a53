"""The VECTOR command on a scratchpad image; see docs/machine.md."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from golden.convert import convert
from golden.emulator_scratch import EmulatorError, Touched, pack, packed
from golden.product import OverflowRefused
from golden.window import seen
from spec.chip import BRICK, Chip
from spec.isa import SCALAR_WIDTH, Kind, entry_bricks, record_bricks
from spec.number import Rounding
from spec.product import ceil_div

Fields = Mapping[str, int]


@dataclass(frozen=True)
class VectorOutcome:
    """What a vector command did besides writing its result."""

    saturations: int
    outputs: int  # words written, padding included


@dataclass
class _Run:
    """A command under way: addresses wrap, and what it touches is noted."""

    chip: Chip
    f: Fields
    scratch: np.ndarray
    touched: Touched
    read: dict[str, np.ndarray]  # addresses by operand, one row for each element, in the order of elements
    written: dict[str, np.ndarray]

    def positions(self, name: str, count: int | None = None, bricks: int | None = None) -> np.ndarray:
        """Addresses (count, bricks) of an operand that lies at ``base + i * stride + c``."""
        i = np.arange(self.f["count"] if count is None else count)[:, None]
        c = np.arange(self.f["bricks"] if bricks is None else bricks)
        return (self.f[f"{name}_base"] + self.f[f"{name}_stride"] * i + c) % self.chip.scratch_bricks

    def get(self, name: str, address: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
        """int64 words (*address, 8); zeros outside. The first axes of ``address`` are elements."""
        inside = np.ones(address.shape, bool) if inside is None else inside
        self.touched.reads[address[inside]] = True
        self.read[name] = np.where(inside, address, -1)
        words = self.scratch[np.where(inside, address, 0)].astype(np.int64)
        words[~inside] = 0
        return words

    def put(self, name: str, address: np.ndarray, words: np.ndarray) -> int:
        """Writes bricks; how many words."""
        self.touched.write(f"vector {Kind(self.f['kind']).name.lower()}", address)
        self.written[name] = address
        self.scratch[address] = words
        return words.size

    def scalars(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """s0, s1, s2 of every channel as (bricks, 8)."""
        size, channels = entry_bricks(self.chip), BRICK * self.f["bricks"]
        entries = np.zeros(channels, np.int64) if self.f["uniform"] else np.arange(channels)
        address = (self.f["table_base"] + size * entries[:, None] + np.arange(size)) % self.chip.scratch_bricks
        bricks = self.get("table", address).reshape(channels, -1)
        s0, s1, s2 = (
            values.reshape(-1, BRICK)
            for values in packed(bricks, (SCALAR_WIDTH, SCALAR_WIDTH, self.chip.acc_width), self.chip.width)
        )
        return s0, s1, s2

    def convert(self, acc: np.ndarray) -> tuple[np.ndarray, int]:
        """Sums (count, bricks, 8) rounded under their index."""
        f, chip = self.f, self.chip
        check(acc, chip)
        number = np.arange(acc.shape[0], dtype=np.int64)[:, None, None] * f["index_stride"]
        channel = np.arange(BRICK * acc.shape[1], dtype=np.int64).reshape(1, -1, BRICK)
        index = f["index_base"] + number + channel
        return convert(acc, f["shift"], Rounding(f["rounding"]), f["key"], index, chip.width, chip.acc_width)

    def window(self, base: str) -> tuple[np.ndarray, np.ndarray]:
        """Does a tap lie inside, and its bricks' addresses: (count, taps, bricks) both."""
        inside, address = seen(self.f, np.arange(self.f["count"]), self.f[base])
        address = (address[:, :, None] + np.arange(self.f["bricks"])) % self.chip.scratch_bricks
        return np.broadcast_to(inside[:, :, None], address.shape), address


def check(acc: np.ndarray, chip: Chip) -> None:
    """:class:`golden.product.OverflowRefused` for a sum outside ``acc_width`` bits."""
    limit = 1 << (chip.acc_width - 1)
    if not (-limit <= acc.min() and acc.max() < limit):
        raise OverflowRefused(
            f"vector sums must be {-limit} to {limit - 1} for acc_width {chip.acc_width}, not {acc.min()} to {acc.max()}"
        )


def vector(chip: Chip, fields: Fields, scratch: np.ndarray, touched: Touched | None = None) -> VectorOutcome:
    """Carries a vector command out on ``scratch``, integers (scratch_bricks, 8).

    fields : as :func:`spec.isa.decode` gives them. touched : gets the bricks read and written.
    Raises :class:`golden.emulator_scratch.EmulatorError` where a result lies on an operand and the contract forbids it, and
    for a largest word of no tap at all;
    :class:`golden.product.OverflowRefused` when a sum does not fit in ``acc_width`` bits.
    """
    run = _Run(chip, fields, scratch, touched or Touched(chip.scratch_bricks), {}, {})
    outcome = KINDS[Kind(fields["kind"])](run)
    _check_places(run)
    return outcome


def _affine(run: _Run) -> VectorOutcome:
    f = run.f
    s0, s1, s2 = run.scalars()
    acc = s0 * run.get("u", run.positions("u")) + s2
    if f["has_v"]:
        v = run.get("v", run.positions("v"))
        acc = np.where(v > 0, acc, 0) if f["gate"] else acc + s1 * v
    elif f["gate"]:
        acc[...] = 0
    words, saturations = run.convert(acc)
    if f["relu"]:
        words = np.maximum(words, 0)
    return VectorOutcome(saturations, run.put("out", run.positions("out"), words))


def _reduce(run: _Run) -> VectorOutcome:
    f, chip = run.f, run.chip
    u = run.get("u", run.positions("u"))
    sums = u.sum(axis=0).reshape(-1)
    products = np.zeros_like(sums)
    if f["has_v"]:
        products = np.einsum("ibw,ibw->bw", u, run.get("v", run.positions("v"))).reshape(-1)
    channels, size = BRICK * f["bricks"], record_bricks(chip)
    widths = (chip.acc_width, chip.acc_width)
    records = (f["out_base"] + size * np.arange(channels)[:, None] + np.arange(size)) % chip.scratch_bricks
    if not f["start"]:
        old_sums, old_products = packed(run.get("record", records).reshape(channels, -1), widths, chip.width)
        sums, products = sums + old_sums, products + old_products
    check(sums, chip)
    check(products, chip)
    if not f["convert"]:
        words = pack((sums, products), widths, size * BRICK, chip.width)
        return VectorOutcome(0, run.put("out", records, words.reshape(channels, size, BRICK)))
    words, saturations = run.convert(products.reshape(1, -1, BRICK))
    return VectorOutcome(saturations, run.put("out", run.positions("out", count=1), words))


def _max(run: _Run) -> VectorOutcome:
    inside, address = run.window("u_base")
    words = run.get("u", address, inside)
    if not inside.any(axis=1).all():
        raise EmulatorError("vector max: a window has no tap inside its operand")
    words = np.where(inside[..., None], words, np.iinfo(np.int64).min)
    place = words.argmax(axis=1)  # the first of equals
    best = np.take_along_axis(words, place[:, None], axis=1)[:, 0]
    count = run.put("out", run.positions("out"), best)
    return VectorOutcome(0, count + run.put("places", run.positions("v"), place))


def _max_back(run: _Run) -> VectorOutcome:
    inside, address = run.window("u_base")
    words = run.get("u", address, inside)
    places = run.get("v", run.window("v_base")[1], inside)
    taps = inside.shape[1]
    wanted = (taps - 1 - np.arange(taps))[:, None, None]
    acc = np.where((places == wanted) & inside[..., None], words, 0).sum(axis=1)
    words, saturations = convert(acc, 0, Rounding.FLOOR, width=run.chip.width, acc_width=run.chip.acc_width)
    return VectorOutcome(saturations, run.put("out", run.positions("out"), words))


def _mean(run: _Run) -> VectorOutcome:
    inside, address = run.window("u_base")
    s0, _, _ = run.scalars()
    words, saturations = run.convert(s0 * run.get("u", address, inside).sum(axis=1))
    return VectorOutcome(saturations, run.put("out", run.positions("out"), words))


def _mask(run: _Run) -> VectorOutcome:
    count, bricks = run.f["count"], ceil_div(run.f["bricks"], BRICK)
    positive = run.get("u", run.positions("u")) > 0
    bits = np.zeros((count, bricks * BRICK, BRICK), np.int64)
    bits[:, : run.f["bricks"]] = positive
    words = (bits << np.arange(BRICK)).sum(axis=2).reshape(count, bricks, BRICK)
    half = 1 << (run.chip.width - 1)
    return VectorOutcome(
        0, run.put("out", run.positions("out", bricks=bricks), np.where(words < half, words, words - 2 * half))
    )


def _transpose(run: _Run) -> VectorOutcome:
    f = run.f
    blocks = ceil_div(f["count"], BRICK)
    plane, line, block, at = np.ogrid[: f["bricks"], : f["lines"], :blocks, :BRICK]
    number = BRICK * block + at
    source = f["u_base"] + plane * f["u_plane"] + line * f["u_line"] + number * f["u_stride"]
    target = (
        f["out_base"] + plane * f["out_plane"] + line * f["out_line"] + block * f["out_block"] + at * f["out_stride"]
    )
    inside = np.broadcast_to(number < f["count"], source.shape)
    words = run.get("u", (source % run.chip.scratch_bricks).reshape(-1, BRICK), inside.reshape(-1, BRICK))
    target = (target % run.chip.scratch_bricks).reshape(-1, BRICK)
    return VectorOutcome(0, run.put("out", target, words.transpose(0, 2, 1)))


KINDS: dict[Kind, Callable[[_Run], VectorOutcome]] = {
    Kind.AFFINE: _affine,
    Kind.REDUCE: _reduce,
    Kind.MAX: _max,
    Kind.MAX_BACK: _max_back,
    Kind.MEAN: _mean,
    Kind.MASK: _mask,
    Kind.TRANSPOSE: _transpose,
}


def _check_places(run: _Run) -> None:
    """Bricks are worked off in any order: what is written may only be what the very same brick of the result reads."""
    if not (run.touched.reads & run.touched.writes).any():
        return
    for out in run.written.values():
        writer = np.full(run.chip.scratch_bricks + 1, -1)  # the last one is outside
        writer[out] = np.arange(out.size).reshape(out.shape)
        for name, address in run.read.items():
            if name == "record":
                continue
            bad = writer[address] >= 0
            if run.f["kind"] == Kind.AFFINE and name != "table":
                bad &= writer[address] != np.arange(address.size).reshape(address.shape)
            if bad.any():
                kind = Kind(run.f["kind"]).name.lower()
                raise EmulatorError(f"vector {kind} writes scratchpad brick {address[bad].flat[0]}, which {name} needs")
