"""Widths, latencies and counters of the engine that a chip describes."""

from dataclasses import dataclass

from spec.bram import Storage
from spec.chip import BRICK, Chip
from spec.convert import Convert
from spec.isa import PRODUCT, SCRATCH_BITS

DIMENSION_BITS = 16  # m, k, n, strides: 1 to 65535
POSITION_BITS = 20  # of a window along one side, signed: 65535 steps of 4 and 65535 taps from any origin
ROW_SLOTS = 32  # rows of C whose partial sums one group can hold
SUM_LATENCY = 1 + Storage.LATENCY  # cycles from the address of a partial sum to the sum
COUNTER_BITS = 40

COUNTERS = (
    "cycles",  # command accepted to command done
    "busy_lane_cycles",  # multiply-accumulates issued
    "steady_cycles",  # from every group having started until one has no row left to start
    "steady_busy_lane_cycles",
    "outputs_computed",  # elements of C that were computed, masked ones not
    "drain_stall_lane_cycles",  # a column waited, but the lane's earlier sums had not been taken
    "load_stall_group_cycles",  # a row waited for its tile of B
    "saturations",
)


def bits_for(count: int) -> int:
    """Bits that tell ``count`` things apart."""
    return max(1, (count - 1).bit_length())


@dataclass(frozen=True)
class Widths:
    """Bit widths that follow from a chip."""

    chip: Chip

    @property
    def half_address(self) -> int:
        """Words of one bank half."""
        return bits_for(self.chip.bank_depth // 2)

    @property
    def list_address(self) -> int:
        return bits_for(self.chip.list_depth)

    @property
    def list_bricks(self) -> int:
        """Counts the bricks of a row list's words, all of them included."""
        return bits_for(self.chip.list_depth // BRICK + 1)

    @property
    def lane(self) -> int:
        return bits_for(self.chip.lanes)

    @property
    def psum_address(self) -> int:
        return bits_for(self.chip.psum_depth)

    @property
    def column(self) -> int:
        """Columns of one lane in a tile; also rows times columns of the partial sums."""
        return self.psum_address - self.lane

    @property
    def lane_sum(self) -> int:
        """Exact for as many products as a row list holds."""
        return 2 * self.chip.width + self.list_address

    @property
    def brick_address(self) -> int:
        return bits_for(self.chip.scratch_bricks)

    @property
    def convert(self) -> Convert:
        return Convert(acc_width=self.chip.acc_width, width=self.chip.width)

    def command_fields(self) -> tuple[tuple[str, int], ...]:
        """Names of a product's fields, :data:`spec.isa.PRODUCT`, and the bits of each that this chip looks at.

        Addresses and steps need those of its scratchpad and of its banks only; signed fields are two's complement.
        """
        special = {
            "k_tile": self.half_address + 1,
            "columns": self.column + 1,
            "rows": bits_for(ROW_SLOTS + 1),
            **dict.fromkeys(("seg_start", "seg_bank_x", "seg_bank_y"), self.half_address),
        }
        return tuple(
            (field.name, self.brick_address if field.bits == SCRATCH_BITS else special.get(field.name, field.bits))
            for field in PRODUCT
        )


def results(chip: Chip) -> int:
    """Finished sums that wait in a lane for the drain.

    A lane has its turn every ``lanes`` cycles: with sixteen of them a third place would gain nothing. In half as many a list of
    six pairs keeps its lane busy with three places, and one of ten pairs with two.
    """
    return 2 if chip.compact and chip.lanes > BRICK else 3


def queue_round(chip: Chip) -> int:
    """Cycles from one turn of a lane's queue to its next: enough for a column that was popped to come to its head."""
    return max(8, chip.lanes)


def load_cycles_per_brick(chip: Chip) -> int:
    """Cycles a brick of B takes into the banks."""
    return max(1, BRICK // chip.lanes)
