"""What a machine can be told: descriptors of fixed size in memory, defined once.

Emulator, decoder, compiler, C header and documentation all derive from :data:`COMMANDS`. A descriptor is
``DESCRIPTOR_BYTES`` bytes, words of 32 bits, lowest byte first. Word 0 is the head, the same for all; a command's
fields follow in their order, each in one word, a new word begun where the present one has no room.

Scratchpad addresses, strides and steps count bricks; memory addresses count bytes, memory steps bricks. Steps are two's
complement and added modulo the address, so that they may lead backward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from spec.axi import ADDRESS_BITS
from spec.chip import BRICK, Chip
from spec.number import Rounding
from spec.product import MAX_SHIFT, ceil_div

DESCRIPTOR_WORDS = 32
DESCRIPTOR_BYTES = 4 * DESCRIPTOR_WORDS
TAG_BITS = 16
SCRATCH_BITS = 24  # of a scratchpad address or step in a descriptor, whatever the chip
MAX_TAPS = 11  # of a window along one side
MAX_STRIDE = 4
SCALAR_WIDTH = 18  # bits of s0 and s1 of an affine


class IsaError(ValueError):
    """A command that cannot be a descriptor; names command, field, value and bound."""


class Opcode(IntEnum):
    END = 1  # wait for all units, raise the interrupt, stop
    FENCE = 2  # wait for the units named, do nothing
    LOAD = 3
    STORE = 4
    PRODUCT = 5
    VECTOR = 6


class Unit(IntFlag):
    """Units that work side by side; a command may wait for some of them before it is issued."""

    LOAD = 1
    STORE = 2
    PRODUCT = 4
    VECTOR = 8


UNITS = {Opcode.LOAD: Unit.LOAD, Opcode.STORE: Unit.STORE, Opcode.PRODUCT: Unit.PRODUCT, Opcode.VECTOR: Unit.VECTOR}


class Kind(IntEnum):
    """What a vector command computes."""

    AFFINE = 0  # Convert(s0*u + s1*v + s2) per channel
    REDUCE = 1  # exact sums of u and u*v per channel
    MAX = 2  # largest word of each window, and its place
    MAX_BACK = 3  # words of u to the places that won
    MEAN = 4  # Convert(s0 * sum over each window)
    MASK = 5  # bits of the positive words
    TRANSPOSE = 6  # blocks of eight by eight words


class ErrorCode(IntEnum):
    """Why a machine stopped."""

    NONE = 0
    OPCODE = 1  # no such opcode
    FIELD = 2  # a field is out of its range
    READ_OUTSIDE = 3  # a load outside the read window
    WRITE_OUTSIDE = 4  # a store outside the write window
    READ_BUS = 5  # the bus answered a load with an error
    WRITE_BUS = 6
    FETCH = 7  # a descriptor lies outside the read window, or the bus failed
    WATCHDOG = 8  # nothing moved for as long as the watchdog allows


ERROR_BITS = max(ErrorCode).bit_length()


@dataclass(frozen=True)
class Field:
    """``bits`` bits of a descriptor; ``high`` None means that every value is legal."""

    name: str
    bits: int
    low: int = 0
    high: int | Callable[[Chip], int] | None = None
    signed: bool = False
    doc: str = ""

    def bounds(self, chip: Chip) -> tuple[int, int]:
        """Smallest and largest legal value."""
        if self.high is None:
            half = 1 << (self.bits - 1)
            return (-half, half - 1) if self.signed else (self.low, (1 << self.bits) - 1)
        return self.low, self.high if isinstance(self.high, int) else self.high(chip)


def _count(name: str, bits: int = 16, high: int | Callable[[Chip], int] | None = None, doc: str = "") -> Field:
    return Field(name, bits, 1, high or (1 << bits) - 1, doc=doc)


def _address(name: str, doc: str = "") -> Field:
    return Field(name, SCRATCH_BITS, 0, lambda chip: chip.scratch_bricks - 1, doc=doc)


def _step(name: str, bits: int = SCRATCH_BITS, doc: str = "") -> Field:
    return Field(name, bits, signed=True, doc=doc)


def _flag(name: str, doc: str = "") -> Field:
    return Field(name, 1, doc=doc)


HEAD = (
    Field("opcode", 8, min(Opcode), max(Opcode)),
    Field("wait", 4, doc="units (:class:`Unit`) that must be idle before the command is issued"),
    Field("tag", TAG_BITS, doc="given back with the command's events; the machine does not read it"),
)

TRANSFER = (
    Field("address", ADDRESS_BITS, doc="memory, in bytes, a multiple of a brick's"),
    _address("scratch"),
    _flag("fill", doc="load only: write zeros and read nothing"),
    _count("bricks", doc="of one run, contiguous on both sides"),
    _count("count_1", doc="runs"),
    _count("count_2", doc="times as many"),
    _step("memory_1", 32, doc="from run to run"),
    _step("memory_2", 32, doc="from the first run of a round to the first of the next"),
    _step("scratch_1"),
    _step("scratch_2"),
)

# Which bricks of an operand each row sees: see `golden.window`.
WINDOW = (
    _count("out_x", doc="rows of a line"),
    _count("out_y", doc="lines of an image"),
    _count("in_x", doc="positions of a line of the operand"),
    _count("in_y", doc="lines of the operand"),
    Field("origin_x", 12, signed=True, doc="position that the first tap of the first row sees; may lie outside"),
    Field("origin_y", 12, signed=True),
    Field("phase_x", 2, doc="holes that follow the origin's position before the first tap; less than `dilation`"),
    Field("phase_y", 2),
    _count(
        "dilation", 3, MAX_STRIDE, doc="positions of the window's grid for each of the operand, the others are holes"
    ),
    _count("stride", 3, MAX_STRIDE, doc="grid positions from row to row and from line to line; 1 if there are holes"),
    _count("taps_x", 4, MAX_TAPS),
    _count("taps_y", 16, doc="more than 11 only where lines are taps: a window one position wide"),
    _step("step_x", doc="from position to position of the operand"),
    _step("step_y", doc="from line to line"),
    _step("step_b", doc="from image to image"),
)

ROUND = (
    Field("shift", 6, 0, MAX_SHIFT),
    Field("rounding", 2, 0, max(Rounding)),
    Field("key", 32),
    Field("index_base", 32, doc="rounding index of the first element"),
)

PRODUCT = (
    _count("m", doc="rows of C"),
    _count("n", doc="columns of C, in each segment"),
    _count("k", doc="rows of B, all tiles together"),
    *WINDOW,
    _step("a_base", doc="where the origin's position of the first image lies, or would lie"),
    _count("a_bricks", doc="of one tap"),
    _count("a_tail", 4, BRICK, doc="words of a tap's last brick"),
    _count("tap_k", doc="rows of B from tap to tap"),
    _flag("bias", doc="after the last tap one more brick, of one word: the one at `one_base`"),
    _address("one_base"),
    _flag("slabs", doc="tiles of the reduction are slabs: each walks all taps, from `a_slab` further on"),
    _step("a_slab"),
    _address("b_base"),
    _step("b_stride", doc="from row to row"),
    _step("b_tile", doc="from the first row of a tile to the first of the next"),
    _count("k_tile", doc="rows of B in a tile"),
    _count("a_tile", doc="bricks of A in a tile, over all taps, those outside the operand included"),
    _address("c_base"),
    Field("c_stride", 16, doc="from row to row"),
    Field("index_stride", 16, doc="rounding index from row to row"),
    _count("seg_x", 4, MAX_TAPS, doc="segments of a row of C; columns and partial sums of each follow those before"),
    _count("seg_y", 4, MAX_TAPS),
    Field("seg_start", 16, doc="what the first segment adds to addresses in the banks"),
    _step("seg_bank_x", 16, doc="from segment to segment"),
    _step("seg_bank_y", 16, doc="the same, at the end of a line of segments"),
    _step("seg_c_x"),
    _step("seg_c_y"),
    _step("seg_index_x", 32),
    _step("seg_index_y", 32),
    _address("mask_base"),
    Field("mask_stride", 16),
    _flag("masked"),
    _flag("twins", doc="masked only: each column of B lies in two lanes, and the one that is ahead computes it"),
    _flag("skip"),
    _flag("start"),
    _flag("finish"),
    *ROUND,
    _count("columns", 16, lambda chip: chip.psum_depth // chip.lanes, doc="of a tile in one lane, in each segment"),
    _count("rows", 6, 32, doc="partial-sum rows one group keeps"),
    _count("row_tile", doc="rows of C between two changes of the reduction's first tile"),
)

VECTOR = (
    Field("kind", 3, min(Kind), max(Kind)),
    Field("count", 24, 1, (1 << 24) - 1, doc="positions of the output; for TRANSPOSE words in a line"),
    _count("bricks", doc="of a position, one channel each word; for TRANSPOSE planes"),
    _step("u_base", doc="first brick; of a window where the origin's position lies, or would lie"),
    _step("u_stride", doc="from position to position"),
    _flag("has_v", doc="v is an operand; in AFFINE and REDUCE without it v is zero"),
    _flag("gate", doc="AFFINE: v does not enter the sum, the result is zero where v is not positive"),
    _step("v_base", doc="v, like u; for MAX where the places go"),
    _step("v_stride"),
    _address("out_base"),
    _step("out_stride"),
    _address("table_base", doc="scalars, one entry for each channel, see :func:`entry_bricks`"),
    _flag("uniform", doc="one entry of the table serves all channels"),
    _flag("relu", doc="AFFINE: negative results become zero"),
    _flag("start", doc="REDUCE: sums begin at zero, not at those at `out_base`"),
    _flag("convert", doc="REDUCE: what is written is words, Convert(sum of u*v), not the two sums"),
    *ROUND,
    Field("index_stride", 32, doc="rounding index from position to position"),
    *WINDOW,
    _step("u_line", doc="TRANSPOSE: from line to line"),
    _step("u_plane", doc="from plane to plane"),
    _step("out_block", doc="from block to block of a line"),
    _step("out_line"),
    _step("out_plane"),
    _count("lines"),
)

FIELDS: dict[Opcode, tuple[Field, ...]] = {
    Opcode.END: (),
    Opcode.FENCE: (),
    Opcode.LOAD: TRANSFER,
    Opcode.STORE: TRANSFER,
    Opcode.PRODUCT: PRODUCT,
    Opcode.VECTOR: VECTOR,
}


@dataclass(frozen=True)
class Place:
    """Where a field lies in a descriptor."""

    word: int
    lsb: int
    field: Field


def places(fields: tuple[Field, ...]) -> tuple[Place, ...]:
    """Each field in the first word behind the head that still has room for it."""
    used = [32] + [0] * (DESCRIPTOR_WORDS - 1)
    result = []
    for field in fields:
        word = next(n for n in range(DESCRIPTOR_WORDS) if used[n] + field.bits <= 32)
        result.append(Place(word, used[word], field))
        used[word] += field.bits
    return tuple(result)


def head_places() -> tuple[Place, ...]:
    """The head's fields, all in word 0."""
    lsb, result = 0, []
    for field in HEAD:
        result.append(Place(0, lsb, field))
        lsb += field.bits
    return tuple(result)


LAYOUT = {opcode: (*head_places(), *places(fields)) for opcode, fields in FIELDS.items()}


def brick_bytes(chip: Chip) -> int:
    """Bytes of a brick in memory, where a word takes two, or four on chips of more than 16 bits."""
    return BRICK * (2 if chip.width <= 16 else 4)


def entry_bricks(chip: Chip) -> int:
    """Bricks of one channel's scalars: s0 and s1 of 18 bits, s2 of ``acc_width``, lowest bits first."""
    return ceil_div(2 * SCALAR_WIDTH + chip.acc_width, BRICK * chip.width)


def record_bricks(chip: Chip) -> int:
    """Bricks of one channel's sums, of u and of u*v, ``acc_width`` bits each, lowest bits first."""
    return ceil_div(2 * chip.acc_width, BRICK * chip.width)


def encode(opcode: Opcode, wait: Unit | int = 0, tag: int = 0, **values: int) -> bytes:
    """A descriptor; fields that are not given are zero, or their least where zero is not legal.

    Raises :class:`IsaError` for a field the command does not have, or a value its bits cannot hold.
    """
    layout = LAYOUT[opcode]
    values = {"opcode": int(opcode), "wait": int(wait), "tag": tag} | {n: int(v) for n, v in values.items()}
    known = {place.field.name for place in layout}
    for name in values:
        if name not in known:
            raise IsaError(f"{opcode.name.lower()}: unknown field {name!r}")
    words = [0] * DESCRIPTOR_WORDS
    for place in layout:
        field = place.field
        value = values.get(field.name, field.low)
        low, high = (
            (-(1 << (field.bits - 1)), (1 << (field.bits - 1)) - 1) if field.signed else (0, (1 << field.bits) - 1)
        )
        if not low <= value <= high:
            raise IsaError(f"{opcode.name.lower()}: {field.name} must be {low} to {high}, not {value}")
        words[place.word] |= (value & ((1 << field.bits) - 1)) << place.lsb
    return b"".join(word.to_bytes(4, "little") for word in words)


def decode(descriptor: bytes) -> tuple[Opcode, dict[str, int]]:
    """Opcode and all fields, the head's included. Raises :class:`IsaError` for an unknown opcode."""
    words = [int.from_bytes(descriptor[4 * n : 4 * n + 4], "little") for n in range(DESCRIPTOR_WORDS)]
    number = words[0] & 0xFF
    if number not in set(Opcode):
        raise IsaError(f"opcode must be {min(Opcode)} to {max(Opcode)}, not {number}")
    opcode = Opcode(number)
    values = {}
    for place in LAYOUT[opcode]:
        bits = place.field.bits
        value = words[place.word] >> place.lsb & ((1 << bits) - 1)
        values[place.field.name] = value - (1 << bits) if place.field.signed and value >> (bits - 1) else value
    return opcode, values


def fault(chip: Chip, descriptor: bytes) -> tuple[ErrorCode, str]:
    """What a machine finds wrong with a descriptor before it is issued, and why; NONE if nothing.

    It checks each field by itself; that fields agree with one another is the compiler's duty.
    """
    try:
        opcode, values = decode(descriptor)
    except IsaError as error:
        return ErrorCode.OPCODE, str(error)
    for place in LAYOUT[opcode]:
        low, high = place.field.bounds(chip)
        value = values[place.field.name]
        if not low <= value <= high:
            return ErrorCode.FIELD, f"{opcode.name.lower()}: {place.field.name} must be {low} to {high}, not {value}"
    if "address" in values and values["address"] % brick_bytes(chip):
        multiple = brick_bytes(chip)
        reason = f"{opcode.name.lower()}: address must be a multiple of {multiple}, not {values['address']}"
        return ErrorCode.FIELD, reason
    return ErrorCode.NONE, ""
