"""What a machine is: the parameters every other description derives from."""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from spec.number import MAX_WIDTH, MIN_WIDTH

BRICK = 8  # words moved through the scratchpad at once


class ChipError(ValueError):
    """A chip description that cannot be built; names field, value and bound."""


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One engine: ``groups`` of ``lanes`` multiply-accumulate lanes and their memories.

    Depths are in words unless the name says otherwise; every field is checked.
    """

    name: str = "custom"
    groups: int = 8  # rows of A worked on at once, times `slots`
    lanes: int = 8  # lanes of one group: neighbouring columns of B
    width: int = 16  # bits of a word
    acc_width: int = 48  # bits of an exact sum
    bank_depth: int = 1024  # words of B in one lane, both halves together
    list_depth: int = 512  # nonzero (k, a) pairs one row list holds
    slots: int = 4  # row lists of one group: rows in flight
    psum_depth: int = 1024  # partial sums one group holds
    queue_depth: int = 16  # columns waiting in front of one lane
    finish_groups: int = 1  # groups that share one Convert and what surrounds it
    scratch_banks: int = 4  # independent scratchpad memories
    scratch_depth: int = 1024  # bricks in one scratchpad bank
    vector_words: int = 4  # words the vector unit multiplies and rounds in a cycle, of a brick's eight

    def __post_init__(self) -> None:
        self._within("groups", 1, 64)
        self._within("lanes", 2, 64, power_of_two=True)
        self._within("width", MIN_WIDTH, MAX_WIDTH)
        self._within("acc_width", 2 * self.width + 4, 56)
        self._within("bank_depth", 32, 65536, power_of_two=True)
        self._within("list_depth", 16, 4096, power_of_two=True)
        self._within("slots", 2, 8)
        self._within("psum_depth", 2 * self.lanes, 65536, power_of_two=True)
        self._within("queue_depth", 4, 256, power_of_two=True)
        self._within("finish_groups", 1, 4)
        self._within("scratch_banks", 1, 16, power_of_two=True)
        self._within("scratch_depth", 16, 1 << 20, power_of_two=True)
        self._within("vector_words", 1, BRICK, power_of_two=True)

    def _within(self, field: str, low: int, high: int, power_of_two: bool = False) -> None:
        value = getattr(self, field)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ChipError(f"chip {self.name!r}: {field} must be an integer, not {value!r}")
        if not low <= value <= high:
            raise ChipError(f"chip {self.name!r}: {field} must be {low} to {high}, not {value}")
        if power_of_two and value & (value - 1):
            raise ChipError(f"chip {self.name!r}: {field} must be a power of two, not {value}")

    @property
    def total_lanes(self) -> int:
        return self.groups * self.lanes

    @property
    def one_port(self) -> bool:
        """Whether all readers of the scratchpad share one port: a group and a vector unit of a word a cycle leave it time."""
        return self.groups == 1 and self.vector_words == 1

    @property
    def compact(self) -> bool:
        """Whether flip-flops are saved where a word a cycle leaves the time: words that wait do so in small memories."""
        return self.one_port and self.lanes <= 16

    @property
    def one_writer(self) -> bool:
        """Whether all writers of the scratchpad share one port: a vector unit of two words a cycle, a bus and the product leave it time."""
        return self.vector_words <= 2

    @property
    def scratch_bricks(self) -> int:
        """Bricks the whole scratchpad holds; addresses are 0 to this less one."""
        return self.scratch_banks * self.scratch_depth

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any parameter but the name."""
        content = {key: value for key, value in asdict(self).items() if key != "name"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @classmethod
    def from_dict(cls, values: dict) -> "Chip":
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise ChipError(f"unknown chip key {key!r}; known keys: {', '.join(known)}")
        return cls(**values)


CHIPS = {
    chip.name: chip
    for chip in (
        # Sixty-four lanes with memory for 512 x 512 x 512, for simulation only.
        Chip(name="sim64", slots=6, bank_depth=4096, psum_depth=4096, queue_depth=64, scratch_depth=32768),
        # Sixty-four lanes with memories that an ECP5-85F has; wide groups share more logic. Two words a cycle keep up with what
        # a bus of 64 bits brings for two operands.
        Chip(name="ecp5-64", groups=4, lanes=16, slots=3, psum_depth=2048, finish_groups=2, vector_words=2),
        # The quickest sixty-four: one group, so that nothing is chosen between groups. For layers of 64 columns.
        Chip(
            name="ecp5-1x64",
            groups=1,
            lanes=64,
            acc_width=40,
            slots=2,
            psum_depth=2048,
            scratch_banks=2,
            vector_words=1,
        ),
        # More lanes for that part, at a lower price. A group takes one nonzero a cycle whatever its lanes, so this chip is
        # for layers of 32 columns and more.
        Chip(
            name="ecp5-96",
            groups=3,
            lanes=32,
            slots=2,
            psum_depth=2048,
            finish_groups=3,
            scratch_banks=2,
            vector_words=1,
        ),
        # The most that fit, at the lowest price a lane, for layers of 64 columns and more.
        Chip(
            name="ecp5-128",
            groups=2,
            lanes=64,
            slots=2,
            psum_depth=2048,
            finish_groups=2,
            scratch_banks=2,
            vector_words=1,
        ),
        # What fits the boards of spec/boards.py beside memory for a network; see docs/boards.md.
        Chip(name="ulx3s-85f", groups=2, lanes=16, slots=3, scratch_banks=2, vector_words=2),
        Chip(
            name="colorlight-i5",
            groups=1,
            lanes=4,
            acc_width=40,
            bank_depth=512,
            list_depth=256,
            slots=2,
            psum_depth=512,
            queue_depth=4,
            scratch_banks=1,
            scratch_depth=512,
            vector_words=1,
        ),
        # A whole machine in an ECP5-25F, memory outside.
        Chip(
            name="ecp5-16",
            groups=1,
            lanes=16,
            acc_width=40,
            bank_depth=1024,
            list_depth=256,
            slots=2,
            psum_depth=1024,
            queue_depth=4,
            scratch_banks=1,
            vector_words=1,
        ),
        # Parts of other families, as far as they reach; what was measured is in docs/synth.md.
        # Lattice LIFCL-40: the whole machine.
        Chip(
            name="lifcl-40",
            groups=1,
            lanes=16,
            acc_width=40,
            bank_depth=1024,
            list_depth=256,
            slots=2,
            psum_depth=1024,
            queue_depth=4,
            scratch_banks=1,
            vector_words=1,
        ),
        # Gowin GW2A-18: meant for the engine; the machine has more flip-flops than the part.
        Chip(
            name="gw2a-18",
            groups=1,
            lanes=8,
            bank_depth=512,
            list_depth=256,
            slots=2,
            psum_depth=512,
            queue_depth=4,
            scratch_banks=2,
            scratch_depth=256,
            vector_words=1,
        ),
        # Lattice iCE40 UP5K: lanes alone; a group has more flip-flops than the part.
        Chip(
            name="up5k",
            groups=1,
            lanes=4,
            bank_depth=256,
            list_depth=64,
            slots=2,
            psum_depth=128,
            queue_depth=4,
            scratch_banks=1,
            scratch_depth=256,
            vector_words=1,
        ),
        # Small enough to build and simulate in seconds.
        Chip(name="tiny", groups=2, lanes=4, bank_depth=256, list_depth=64, psum_depth=256, scratch_depth=512),
    )
}


def load_chip(name_or_file: str) -> Chip:
    """A named chip, or one from a TOML file of :class:`Chip` fields.

    Raises :class:`ChipError` on an unknown name, an unreadable or malformed
    file, an unknown key or a value out of range.
    """
    if name_or_file in CHIPS:
        return CHIPS[name_or_file]
    path = Path(name_or_file)
    if path.suffix != ".toml":
        raise ChipError(f"unknown chip {name_or_file!r}; named chips: {', '.join(CHIPS)}; or give a .toml file")
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ChipError(f"cannot read chip file {name_or_file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ChipError(f"chip file {name_or_file} is not TOML: {error}") from error
    return Chip.from_dict({"name": path.stem} | values)
