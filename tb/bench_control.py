"""Issue against a model of fetch and units: order, wait masks, how runs end, what is said of several errors, abort, watchdog."""

from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import RisingEdge

from spec.isa import UNITS, ErrorCode, Opcode
from tb.kit import Stream, cycles, generator, start

LOAD, STORE, PRODUCT, VECTOR = range(4)
NUMBER = {opcode: unit.bit_length() - 1 for opcode, unit in UNITS.items()}
RESET = 16  # cycles of `unit_reset` at least
NEVER = 1 << 40


@dataclass
class Command:
    opcode: int
    wait: int = 0
    tag: int = 0
    error: int = 0  # in itself
    lasts: int = 5  # cycles of its unit
    fails: int = 0  # at its end


@dataclass
class World:
    """What is around the unit, cycle by cycle, and what it must never do."""

    dut: object
    rng: object
    program: list[Command] = field(default_factory=list)
    stall: float = 0.0
    fetch_busy: bool = False
    place: int | None = None  # of the command that is offered
    left: dict[int, int] = field(default_factory=dict)  # unit to cycles
    which: dict[int, int] = field(default_factory=dict)  # unit to index
    issued: list[int] = field(default_factory=list)
    ready_at: int = 0
    given: int = 0  # when a unit got a command
    now: int = 0
    worst: int = 0  # cycles from when a command could be issued to its issue
    reached: list[str] = field(default_factory=list)
    starts: int = 0
    resets: int = 0
    heads: list[int] = field(default_factory=list)
    events: list[tuple[int, int]] = field(default_factory=list)
    ends: int = 0

    def begin(self, program):
        self.program, self.issued, self.reached, self.heads, self.events = program, [], [], [], []
        self.place, self.worst, self.starts, self.resets, self.ends = None, 0, 0, 0, 0

    async def live(self):
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        i = Stream(dut, "i")
        cocotb.start_soon(guard_unless(i, dut.fetch_stop))
        gap = 0
        while True:
            await edge
            self.now += 1
            self._see(i)
            # What comes next of the program.
            if dut.fetch_start.value:
                assert not {LOAD, STORE} & set(self.left), "a run begins while transfers of another are under way"
                assert not self.fetch_busy
                self.starts += 1
                self.place, gap = 0, 3
            elif dut.fetch_stop.value:
                self.place = None
            gap = max(0, gap - 1)
            offered = self.place is not None and self.place < len(self.program) and not gap
            if i.valid.value and i.ready.value:
                gap = 2 + int(self.rng.geometric(1 - self.stall)) - 1
                offered = False
            i.valid.value = int(offered)
            if offered:
                command = self.program[self.place]
                if not i.valid.value:
                    self.ready_at = self.now
                values = {
                    "head__opcode": command.opcode, "head__wait": command.wait, "head__tag": command.tag,
                    "index": self.place, "following": self.place + 1, "error": command.error,
                }  # fmt: skip
                i.drive(tuple(values[name] for name in i.fields))
            # Units.
            done = 0
            for unit in list(self.left):
                self.left[unit] -= 1
                if self.left[unit] == 0:
                    done |= 1 << unit
                    error = self.program[self.which[unit]].fails if self.which[unit] < len(self.program) else 0
                    if unit in {LOAD, STORE}:
                        (dut.load_error, dut.store_error)[unit].value = error
            dut.done.value = done
            if dut.unit_reset.value:
                self.resets += 1
                for unit in (PRODUCT, VECTOR):
                    self.left.pop(unit, None)
            dut.accept.value = sum(1 << unit for unit in range(4) if unit not in self.left)
            dut.fetch_idle.value = int(not self.fetch_busy)

    def _see(self, i):
        dut = self.dut
        self.ends += int(dut.done.value).bit_count()
        for unit in range(4):
            if int(dut.done.value) >> unit & 1:
                self.left.pop(unit, None)
                self.ready_at = self.now
        taken = int(dut.offer.value) & int(dut.accept.value)
        assert int(dut.offer.value).bit_count() <= 1
        assert not (taken and i.ready.value)
        if taken:
            command = self.program[self.place]
            assert taken == UNITS[command.opcode]
            self._may(command)
            unit = NUMBER[command.opcode]
            self.left[unit], self.which[unit], self.given = command.lasts, self.place, self.now
        if i.valid.value and i.ready.value:
            command = self.program[self.place]
            assert self.place == len(self.issued)
            if command.opcode in UNITS:
                assert self.given == self.now - 1, "a command is taken in the cycle after its unit was given it"
            else:
                self._may(command)
            assert dut.advance.value
            assert bool(dut.commands.value) == (command.opcode != Opcode.END)
            self.heads.append(int(dut.head.value))
            self.issued.append(self.place)
            self.worst = max(self.worst, self.now - 1 - self.ready_at)
            self.place += 1
        else:
            assert not dut.advance.value
        for name in ("ended", "failed", "aborted"):
            if getattr(dut, f"reached__{name}").value:
                self.reached.append(name)
        if dut.events__issued.value:
            self.events.append((int(dut.events__issued.value), int(dut.events__tag.value)))

    def _may(self, command):
        """Nothing that the command waits for is at work."""
        waits = {unit for unit in range(4) if command.wait >> unit & 1}
        if command.opcode == Opcode.END:
            waits = set(range(4))
        elif command.opcode in UNITS:
            waits.add(NUMBER[command.opcode])
        assert not waits & set(self.left), f"{command} is issued while {waits & set(self.left)} work"

    async def start(self):
        self.dut.start.value = 1
        await cycles(self.dut, 1)
        self.dut.start.value = 0

    async def wait(self, patience=3000):
        for _ in range(patience):
            if self.reached:
                break
            await RisingEdge(self.dut.clk)
        await cycles(self.dut, 3)
        assert len(self.reached) == 1, self.reached
        assert not self.dut.running.value
        return self.reached[0], int(self.dut.error.value), int(self.dut.error_index.value)

    async def run(self, program):
        self.begin(program)
        await self.start()
        return await self.wait()


async def guard_unless(stream, stop):
    """An item stays until it is taken or the fetch is stopped."""
    edge, waiting = RisingEdge(stream.clk), None
    while True:
        await edge
        if waiting is not None:
            assert (int(stream.valid.value), stream.raw()) == (1, waiting)
        waiting = stream.raw() if stream.valid.value and not stream.ready.value and not stop.value else None


async def begin(dut, stall=0.0):
    rng = generator()
    await start(dut)
    world = World(dut, rng, stall=stall)
    cocotb.start_soon(world.live())
    await cycles(dut, 2)
    return rng, world


def draw(rng, count, error=0.0):
    program = []
    for _ in range(count):
        opcode = int(rng.choice([Opcode.FENCE, *UNITS]))
        lasts = int(rng.choice([1, 2, int(rng.integers(1, 60))]))
        wait = int(rng.integers(0, 16)) & int(rng.integers(0, 16))
        program.append(Command(opcode, wait, int(rng.integers(0, 1 << 16)), lasts=lasts))
        kind = rng.random()
        if kind < error / 2:
            program[-1].error = int(rng.choice([ErrorCode.OPCODE, ErrorCode.FIELD, ErrorCode.FETCH]))
        elif kind < error and opcode in {Opcode.LOAD, Opcode.STORE}:
            program[-1].fails = int(rng.integers(ErrorCode.READ_OUTSIDE, ErrorCode.WRITE_BUS + 1))
    return [*program, Command(Opcode.END, tag=99)]


def tags(program, count):
    return [(int(UNITS[c.opcode]), c.tag) for c in program[:count] if c.opcode in UNITS]


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def issues_in_order_when_units_are_idle(dut, stall):
    rng, world = await begin(dut, stall)
    for _ in range(20):
        program = draw(rng, 40)
        assert (await world.run(program))[0] == "ended"
        assert world.issued == list(range(41))
        assert world.heads == list(range(1, 42))
        assert world.events == tags(program, 41)
        assert world.starts == 1
        assert not world.left, "ended while a unit works"
        assert world.ends == len(world.events)
        assert world.worst <= 3, f"a command waited {world.worst} cycles longer than it had to"


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def says_the_first_error_in_program_order(dut, stall):
    rng, world = await begin(dut, stall)
    kinds = set()
    for _ in range(150):
        program = draw(rng, 25, error=0.15)
        how, code, index = await world.run(program)
        bad = [n for n, c in enumerate(program) if c.error or (c.fails and n in world.issued)]
        if not bad:
            assert how == "ended"
            continue
        first = bad[0]
        assert (how, code, index) == ("failed", program[first].error or program[first].fails, first)
        assert not world.left
        assert not any(program[n].error for n in world.issued)
        kinds.add((code, len(bad) > 1))
    assert len(kinds) > 6


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def says_which_transfer_was_first(dut):
    """Both fail: of each order of issue, each order of end."""
    _, world = await begin(dut)
    for first, second in ((Opcode.LOAD, Opcode.STORE), (Opcode.STORE, Opcode.LOAD)):
        for lasts in ((20, 9), (20, 19), (20, 20), (20, 40)):
            program = [Command(first, lasts=3), Command(second, lasts=3)]
            program += [Command(Opcode.FENCE, 15), Command(first, lasts=lasts[0], fails=int(ErrorCode.READ_BUS))]
            program += [Command(second, lasts=lasts[1], fails=int(ErrorCode.WRITE_BUS)), Command(Opcode.END)]
            assert await world.run(program) == ("failed", ErrorCode.READ_BUS, 3)
            assert len(world.issued) == 5


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(opcode=[int(opcode) for opcode in UNITS])
async def watchdog_ends_what_stands_still(dut, opcode):
    _, world = await begin(dut)
    dut.watchdog.value = 50
    program = [Command(Opcode.FENCE), Command(opcode, lasts=NEVER), Command(Opcode.FENCE, 15), Command(Opcode.END)]
    world.begin(program)
    await world.start()
    for _ in range(20):  # while something moves it waits
        dut.moved.value = 1
        await cycles(dut, 1)
        dut.moved.value = 0
        await cycles(dut, 48)
    assert not world.reached
    assert await world.wait(60) == ("failed", ErrorCode.WATCHDOG, 1)
    unit = NUMBER[opcode]
    if unit in {PRODUCT, VECTOR}:
        await cycles(dut, RESET)
        assert world.resets >= RESET
        assert not world.left
        assert not dut.busy.value
    else:  # a transfer cannot be dropped: it is told to stop, and the next run waits for it
        assert dut.stop.value
        assert int(dut.busy.value) == 1 << unit
        dut.watchdog.value = 0
        world.begin([Command(Opcode.END)])
        await world.start()
        await cycles(dut, 200)
        assert dut.running.value
        assert dut.stop.value
        assert not world.starts
        world.which[unit] = NEVER
        world.left[unit] = 3
        assert (await world.wait())[0] == "ended"
    dut.watchdog.value = 0
    assert (await world.run([Command(opcode, lasts=400), Command(Opcode.END)]))[0] == "ended"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def watchdog_ends_a_fetch_that_stands_still(dut):
    _, world = await begin(dut)
    dut.watchdog.value = 50
    world.begin([Command(Opcode.FENCE)] * 3)
    await world.start()
    how, code, index = await world.wait(200)
    assert (how, code) == ("failed", ErrorCode.WATCHDOG)
    assert index in {2, 3}
    # Descriptors that never come keep the next run from beginning; the watchdog tells that too.
    world.begin([Command(Opcode.END)])
    world.fetch_busy = True
    await world.start()
    assert (await world.wait(200))[:2] == ("failed", ErrorCode.WATCHDOG)
    assert not world.starts
    world.fetch_busy = False
    assert (await world.run([Command(Opcode.END)]))[0] == "ended"


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def aborts_at_any_time(dut):
    rng, world = await begin(dut, 0.3)
    aborted = 0
    for delay in range(0, 160, 3):
        program = draw(rng, 25, error=0.05)
        for command in program:
            command.lasts = int(rng.integers(1, 30))
        world.begin(program)
        await world.start()
        await cycles(dut, delay)
        if world.reached or not dut.running.value:
            continue
        dut.cancel.value = 1
        await cycles(dut, 1)
        dut.cancel.value = 0
        await cycles(dut, 2)  # what was issued in the very cycle is taken in the next
        stopped = list(world.issued)
        assert dut.stop.value
        if (await world.wait(5))[0] != "aborted":  # it stopped in that very cycle
            continue
        aborted += 1
        await cycles(dut, RESET + 20)
        assert world.issued == stopped
        assert world.resets >= RESET
        assert not {PRODUCT, VECTOR} & set(world.left)
        # And the next run is as good as any.
        assert (await world.run(draw(rng, 5)))[0] == "ended"
    dut.cancel.value = 1  # of no run: nothing
    await cycles(dut, 1)
    dut.cancel.value = 0
    await cycles(dut, 5)
    assert len(world.reached) == 1
    assert aborted > 20
