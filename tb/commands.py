"""Random commands whose fields agree: values for :func:`spec.isa.encode`, for any chip."""

from dataclasses import dataclass

import numpy as np

from spec.chip import BRICK, Chip
from spec.engine import ROW_SLOTS
from spec.isa import MAX_STRIDE, Kind, Opcode, entry_bricks, record_bricks
from spec.product import MASK_COLUMNS, MAX_SHIFT, ceil_div

Values = dict[str, int]


@dataclass
class Commands:
    """Draws commands of ``chip`` that read and write ``memory`` within ``read`` and ``write``, half-open, in bytes."""

    chip: Chip
    rng: np.random.Generator
    read: tuple[int, int]
    write: tuple[int, int]

    @property
    def brick_bytes(self) -> int:
        return BRICK * (2 if self.chip.width <= 16 else 4)

    def small(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def often(self, share: float) -> int:
        return int(self.rng.random() < share)

    def anywhere(self) -> int:
        """Of the scratchpad; its two ends often."""
        bricks = self.chip.scratch_bricks
        return self.small(0, bricks - 1) if self.often(0.9) else bricks - self.small(1, 9)

    def step(self, usual: int) -> int:
        """As rows lie behind each other, or with gaps, or backward."""
        choice = self.rng.random()
        if choice < 0.6:
            return usual
        return usual + self.small(0, 3) if choice < 0.85 else -usual - self.small(0, 2)

    def draw(self) -> tuple[Opcode, Values]:
        opcode = Opcode(int(self.rng.choice([Opcode.FENCE, Opcode.LOAD, Opcode.STORE, Opcode.PRODUCT, Opcode.VECTOR],
                                            p=[0.05, 0.2, 0.15, 0.25, 0.35])))  # fmt: skip
        if opcode == Opcode.PRODUCT:
            return opcode, self.product()
        if opcode == Opcode.VECTOR:
            return opcode, self.vector(Kind(self.small(min(Kind), max(Kind))))
        return opcode, {} if opcode == Opcode.FENCE else self.transfer(opcode)

    # Transfers.

    def transfer(self, opcode: Opcode) -> Values:
        first, end = self.read if opcode == Opcode.LOAD else self.write
        size = self.brick_bytes
        longest = int(self.rng.choice([1, 4, 40]))
        bricks, count_1, count_2 = self.small(1, longest), self.small(1, 6), self.small(1, 3)
        values = {
            "bricks": bricks,
            "count_1": count_1,
            "count_2": count_2,
            "memory_1": self.step(bricks),
            "memory_2": self.step(bricks * count_1),
            "scratch_1": self.step(bricks),
            "scratch_2": self.step(bricks * count_1),
            "scratch": self.anywhere(),
            "address": first + size * self.small(0, (end - first) // size - bricks),
        }
        if opcode == Opcode.LOAD and self.often(0.15):
            values |= {"fill": 1, "address": size * int(self.rng.integers((1 << 32) // size))}
        return values

    def table(self, address: int, entries: int, scratch: int) -> Values:
        """The load of a table of scalars."""
        return {"address": address, "scratch": scratch, "bricks": entries * entry_bricks(self.chip)}

    # Vector commands.

    def rounding(self) -> Values:
        shift = int(self.rng.choice([0, MAX_SHIFT, *range(MAX_SHIFT + 1)], p=[0.1, 0.05, *[0.85 / 33] * 33]))
        return {
            "shift": shift if self.often(0.3) else self.small(4, 14),
            "rounding": self.small(0, 2),
            "key": int(self.rng.integers(1 << 32)),
            "index_base": int(self.rng.integers(1 << 32)),
        }

    def window(self, bricks: int) -> Values:
        dilation = self.small(2, MAX_STRIDE) if self.often(0.3) else 1
        taps_y, taps_x = (self.small(1, int(self.rng.choice([1, 3, 5]))) for _ in range(2))
        in_y, in_x = self.small(1, 8), self.small(1, 8)
        line = self.step(in_x * bricks)
        return {
            "out_x": self.small(1, 6),
            "out_y": self.small(1, 4),
            "in_x": in_x,
            "in_y": in_y,
            "origin_x": self.small(-min(3, taps_x), 1),
            "origin_y": self.small(-min(3, taps_y), 1),
            "phase_x": self.small(0, dilation - 1),
            "phase_y": self.small(0, dilation - 1),
            "dilation": dilation,
            "stride": 1 if dilation > 1 else self.small(1, MAX_STRIDE),
            "taps_x": taps_x,
            "taps_y": taps_y,
            "step_x": self.step(bricks),
            "step_y": line,
            "step_b": self.step(in_y * abs(line)),
        }

    def inside(self, window: Values) -> Values:
        """Changes that give each row of a window a tap inside."""
        changed = {"dilation": 1, "phase_x": 0, "phase_y": 0}
        for axis in "xy":
            origin = max(window[f"origin_{axis}"], 1 - window[f"taps_{axis}"])
            last = origin + (window[f"out_{axis}"] - 1) * window["stride"]
            changed |= {f"origin_{axis}": origin, f"in_{axis}": max(1, last + self.small(1, 4))}
        return changed

    def vector(self, kind: Kind) -> Values:
        bricks = self.small(1, int(self.rng.choice([1, 3, 9])))
        count = self.small(1, int(self.rng.choice([1, 6, 30])))
        values = {
            "kind": kind,
            "count": count,
            "bricks": bricks,
            "u_base": self.anywhere() - self.chip.scratch_bricks * self.often(0.3),
            "v_base": self.anywhere(),
            "out_base": self.anywhere(),
            "table_base": self.anywhere(),
            "u_stride": self.step(bricks),
            "v_stride": self.step(bricks),
            "out_stride": self.step(ceil_div(bricks, BRICK) if kind == Kind.MASK else bricks),
            "uniform": self.often(0.4),
            "index_stride": int(self.rng.integers(1 << 32)) if self.often(0.3) else bricks * BRICK,
            **self.rounding(),
        }
        match kind:
            case Kind.AFFINE:
                values |= {"has_v": self.often(0.7), "gate": self.often(0.3), "relu": self.often(0.3)}
                values["gate"] &= values["has_v"]
                if self.often(0.3):  # in place
                    name = "u" if self.often(0.5) else "v"
                    values |= {
                        "out_base": values[f"{name}_base"] % self.chip.scratch_bricks,
                        "out_stride": values[f"{name}_stride"],
                    }
            case Kind.REDUCE:
                values |= {"has_v": self.often(0.7), "start": self.often(0.7), "convert": self.often(0.5)}
                if values["has_v"] and self.often(0.4):  # squares
                    values |= {"v_base": values["u_base"], "v_stride": values["u_stride"]}
            case Kind.MAX | Kind.MAX_BACK | Kind.MEAN:
                values |= self.window(bricks)
                if kind == Kind.MAX:
                    values |= self.inside(values)
                values["count"] = self.small(1, 2 * values["out_x"] * values["out_y"])
            case Kind.TRANSPOSE:
                blocks, lines = ceil_div(count, BRICK), self.small(1, 3)
                values |= {
                    "lines": lines,
                    "u_line": self.step(count * bricks),
                    "u_plane": 1,
                    "out_block": 1,
                    "out_line": blocks,
                    "out_stride": blocks * lines,
                    "out_plane": BRICK * blocks * lines,
                }
                if self.often(0.4):
                    values |= {"out_block": BRICK, "out_stride": 1, "out_line": BRICK * blocks + self.small(0, 2)}
                    values["out_plane"] = lines * values["out_line"]
        return values

    def entries(self, values: Values) -> int:
        """Entries of the table that a vector command reads."""
        return 1 if values["uniform"] else BRICK * values["bricks"]

    def record_bricks(self, values: Values) -> int:
        return BRICK * values["bricks"] * record_bricks(self.chip)

    # Products.

    def product(self) -> Values:
        """A product that the chip can hold; draws until one is."""
        while (values := self._product()) is None:
            pass
        return values

    def chain(self) -> list[Values]:
        """Products that sum one reduction and round it once: the same rows and tiling, operands anywhere."""
        while True:
            first = self.product()
            if first["m"] <= first["rows"] * self.chip.groups and first["columns"] * self.chip.lanes >= first["n"]:
                break
        first["row_tile"] = first["m"]
        links = []
        for number in range(count := self.small(2, 3)):
            places = {name: self.anywhere() for name in ("a_base", "b_base", "one_base")}
            links.append(first | places | {"start": number == 0, "finish": number == count - 1})
        return links

    def _product(self) -> Values | None:
        chip = self.chip
        half, room = chip.bank_depth // 2, chip.psum_depth // chip.lanes
        masked = self.often(0.3)
        seg_x, seg_y = (1, 1) if masked or self.often(0.6) else (self.small(1, 3), self.small(1, 3))
        slabs, bricks, tail = self.often(0.25), self.small(1, 3), self.small(1, BRICK)
        bias = self.often(0.3) * (not slabs)
        view = self.window(bricks)
        taps, channels = view["taps_x"] * view["taps_y"], BRICK * (bricks - 1) + tail
        if self.often(0.4):  # a plain matrix
            view |= {"taps_x": 1, "taps_y": 1, "dilation": 1, "phase_x": 0, "phase_y": 0, "stride": 1}
            view |= {"origin_x": 0, "origin_y": 0, "in_x": 64, "in_y": 64, "out_x": 64, "out_y": 64}
            taps = 1
        n = self.small(1, int(self.rng.choice([8, 24, 70])))
        whole = ceil_div(n, chip.lanes)
        step = ceil_div(MASK_COLUMNS if masked else BRICK, chip.lanes)
        columns = int(self.rng.choice([whole, *range(step, whole, step)]))
        # Each segment sees rows of B further on; a border of rows that no word meets leaves them room.
        shift_x, shift_y, first = self.small(0, 2), self.small(0, 3), self.small(0, 2) * (seg_x * seg_y > 1)
        reach = first + seg_y * (seg_x - 1) * shift_x + (seg_y - 1) * shift_y if seg_x * seg_y > 1 else 0
        tiles = self.small(1, 3) if slabs else 1 if reach else 0
        cut = self._cut(taps, bricks, channels, bias, tiles, reach)
        if cut["k_tile"] * columns > half or cut["words"] > chip.list_depth:
            return None
        twins = masked and cut["k_tile"] * columns <= half // 2 and self.often(0.6)
        rows_room = min(ROW_SLOTS, room // (columns * seg_x * seg_y))
        if not rows_room:
            return None
        rows = self.small(1, rows_room)
        m = self.small(1, int(self.rng.choice([3, 12, 40])))
        one_tile = cut["k"] <= cut["k_tile"]
        c_bricks = ceil_div(n, BRICK)
        segments = seg_x * seg_y
        del cut["words"]
        return {
            "m": m,
            "n": n,
            **view,
            **cut,
            "a_base": self.anywhere() - self.chip.scratch_bricks * self.often(0.3),
            "a_bricks": bricks,
            "a_tail": tail,
            "tap_k": channels,
            "bias": bias,
            "one_base": self.anywhere(),
            "slabs": slabs,
            "a_slab": self.small(-60, 60),
            "b_base": self.anywhere(),
            "b_stride": (stride := self.step(c_bricks)),
            "b_tile": self.small(-60, 60) if slabs else cut["k_tile"] * stride,
            "c_base": self.anywhere(),
            "c_stride": (c_stride := c_bricks + self.small(0, 2)),
            "index_stride": self.small(0, 65535) if self.often(0.3) else n,
            "seg_x": seg_x,
            "seg_y": seg_y,
            "seg_start": first * columns,
            "seg_bank_x": shift_x * columns,
            "seg_bank_y": shift_y * columns,
            "seg_c_x": c_stride * m,
            "seg_c_y": c_stride * m + self.small(0, 3) * (segments > 1),
            "seg_index_x": int(self.rng.integers(-(1 << 31), 1 << 31)) if self.often(0.3) else m * n,
            "seg_index_y": m * n,
            "masked": masked,
            "twins": twins,
            "mask_base": self.anywhere(),
            "mask_stride": ceil_div(n, MASK_COLUMNS) + self.small(0, 1),
            "skip": self.often(0.7),
            "start": 1,
            "finish": 1,
            **self.rounding(),
            "columns": columns,
            "rows": rows,
            "row_tile": m if one_tile else min(m, rows * chip.groups),
        }

    def _cut(self, taps: int, bricks: int, channels: int, bias: int, slabs: int, reach: int) -> Values:
        """The reduction's tiles, ``slabs`` with all taps each or any cut for 0, and ``words`` of A in the longest."""
        k, all_bricks = taps * channels + bias, taps * bricks + bias
        if slabs:
            rows = k + reach + self.small(0, 2)
            return {"k": rows * slabs, "k_tile": rows, "a_tile": all_bricks, "words": k}
        if (channels % BRICK == 0 or (taps == 1 and not bias)) and self.often(0.5):
            a_tile = self.small(1, all_bricks)
            return {"k": k, "k_tile": min(k, a_tile * BRICK), "a_tile": a_tile, "words": a_tile * BRICK}
        some = self.small(1, taps)
        if some == taps and bias and self.often(0.7):
            return {"k": k, "k_tile": k, "a_tile": all_bricks, "words": k}
        return {"k": k, "k_tile": some * channels, "a_tile": some * bricks, "words": some * channels}
