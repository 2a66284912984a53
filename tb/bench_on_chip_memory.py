"""Memory in block RAM: bursts of the machine's kind and the host's words, at once, with stalls; bursts outside, missing strobes; its speed."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, gather

from spec.axi import Axi, Resp
from tb.kit import Stream, collect, cycles, generator, guard, load_spec, send, start
from tb.models import setting

HOST_LATENCY = 4
INCR = 1


class Bus:
    """A master of all five channels that knows what memory holds."""

    def __init__(self, dut, rng, spec, stall):
        self.dut, self.rng, self.spec, self.stall = dut, rng, spec, stall
        self.size = setting("size")
        self.bytes = np.zeros(self.size, np.uint8)
        for name in ("r", "b"):
            cocotb.start_soon(guard(Stream(dut, f"bus__{name}")))

    def bursts(self, count, low, high):
        """(address, beats) between two addresses, none over a page."""
        step, result = self.spec.beat_bytes, []
        for _ in range(count):
            address = low + step * int(self.rng.integers(0, (high - low) // step))
            until = min(high, address // 4096 * 4096 + 4096)
            result.append((address, int(self.rng.integers(1, min(256, (until - address) // step) + 1))))
        return result

    def _addresses(self, bursts):
        return {
            "addr": [address for address, _ in bursts],
            "len": [beats - 1 for _, beats in bursts],
            "size": [self.spec.beat_bytes.bit_length() - 1] * len(bursts),
            "burst": [INCR] * len(bursts),
        }

    async def write(self, bursts, holes=0.0):
        """Answers; of the beats a share of ``holes`` lacks a strobe and must not be written."""
        step, every = self.spec.beat_bytes, (1 << self.spec.beat_bytes) - 1
        beats, want = {"data": [], "strb": [], "last": []}, []
        for address, count in bursts:
            inside, whole = address < self.size, True
            for n in range(count):
                data = self.rng.bytes(step)
                strobes = int(self.rng.integers(0, every)) if self.rng.random() < holes else every
                beats["data"].append(int.from_bytes(data, "little"))
                beats["strb"].append(strobes)
                beats["last"].append(int(n == count - 1))
                if inside and strobes == every:
                    self.bytes[address + n * step :][:step] = np.frombuffer(data, np.uint8)
                whole &= strobes == every
            want.append(Resp.DECODE if not inside else Resp.OKAY if whole else Resp.SLAVE)
        _, _, got = await gather(
            send(Stream(self.dut, "bus__aw"), self._addresses(bursts), self.rng, self.stall),
            send(Stream(self.dut, "bus__w"), beats, self.rng, self.stall),
            collect(Stream(self.dut, "bus__b"), len(bursts), self.rng, self.stall),
        )
        assert got["resp"].tolist() == want

    async def read(self, bursts):
        count = sum(beats for _, beats in bursts)
        _, got = await gather(
            send(Stream(self.dut, "bus__ar"), self._addresses(bursts), self.rng, self.stall),
            collect(Stream(self.dut, "bus__r"), count, self.rng, self.stall),
        )
        step, at = self.spec.beat_bytes, 0
        for address, beats in bursts:
            for n in range(beats):
                inside = address < self.size
                assert got["resp"][at] == (Resp.OKAY if inside else Resp.DECODE)
                assert got["last"][at] == (n == beats - 1)
                if inside:
                    want = int.from_bytes(self.bytes[address + n * step :][:step].tobytes(), "little")
                    assert int(got["data"][at]) == want, f"beat {n} of {address:#x}"
                at += 1


class Host:
    def __init__(self, dut, rng, spec, stall):
        self.dut, self.rng, self.spec, self.stall = dut, rng, spec, stall
        self.edge = RisingEdge(dut.clk)

    async def _request(self, **fields):
        request = Stream(self.dut, "host__request")
        await cycles(self.dut, int(self.rng.integers(0, 5)) if self.stall else 0)
        request.valid.value = 1
        request.drive(tuple(fields[name] for name in request.fields))
        await self.edge
        while not request.ready.value:
            await self.edge
        request.valid.value = 0

    async def write(self, address, data):
        await self._request(write=1, address=address // self.spec.beat_bytes, data=int.from_bytes(data, "little"))

    async def read(self, address):
        await self._request(write=0, address=address // self.spec.beat_bytes, data=0)
        for latency in range(1, HOST_LATENCY + 1):
            await self.edge
            assert bool(self.dut.host__valid.value) == (latency == HOST_LATENCY)
        return int(self.dut.host__data.value).to_bytes(self.spec.beat_bytes, "little")


async def begin(dut, stall):
    await start(dut)
    rng, spec = generator(), Axi(width=load_spec(Axi).width)
    bus, host = Bus(dut, rng, spec, stall), Host(dut, rng, spec, stall)
    await bus.write([(page, 256) for page in range(0, bus.size, 256 * spec.beat_bytes)])
    return rng, bus, host


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.3, 0.7])
async def reads_what_was_written(dut, stall):
    rng, bus, host = await begin(dut, stall)
    for _ in range(5):
        await bus.write(bus.bursts(12, 0, bus.size))
        await bus.read(bus.bursts(12, 0, bus.size))
    for address in map(int, 8 * rng.permutation(bus.size // 8)[:50]):
        assert await host.read(address) == bus.bytes[address : address + 8].tobytes()


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def serves_all_at_once(dut, stall):
    """Reads, writes and the host in quarters of their own, so that each knows what it must find."""
    rng, bus, host = await begin(dut, stall)
    quarter = bus.size // 4

    async def words():
        for _ in range(40):
            address = 2 * quarter + 8 * int(rng.integers(0, quarter // 8))
            data = rng.bytes(8)
            await host.write(address, data)
            bus.bytes[address : address + 8] = np.frombuffer(data, np.uint8)
            address = 2 * quarter + 8 * int(rng.integers(0, 2 * quarter // 8))
            assert await host.read(address) == bus.bytes[address : address + 8].tobytes()

    for _ in range(5):  # often, as a burst writes over what another lost
        await gather(bus.read(bus.bursts(5, 0, quarter)), bus.write(bus.bursts(5, quarter, 2 * quarter)), words())
        await bus.read([(page, 256) for page in range(0, bus.size, 2048)])


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def leaves_alone_what_is_not_its_own(dut, stall):
    _, bus, _ = await begin(dut, stall)
    outside = [bus.size, 2 * bus.size, 1 << 20, (1 << 32) - 4096]
    for _ in range(3):
        inside = bus.bursts(6, 0, bus.size)
        mixed = [burst for pair in zip(inside, [(at, 5) for at in (*outside, *outside)], strict=False) for burst in pair]
        await bus.write(mixed, holes=0.1)
        await bus.read(mixed)
    await bus.read([(page, 256) for page in range(0, bus.size, 2048)])


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def takes_a_beat_in_every_cycle(dut):
    _, bus, _ = await begin(dut, 0.0)
    for channel, play in (("r", bus.read), ("w", bus.write)):
        stream, times = Stream(dut, f"bus__{channel}"), []

        async def watch(stream=stream, times=times):
            now = 0
            while True:
                await RisingEdge(dut.clk)
                now += 1
                if stream.valid.value and stream.ready.value:
                    times.append(now)

        task = cocotb.start_soon(watch())
        await play([(0, 200), (2048, 200)])
        task.cancel()
        assert times[199] - times[0] == 199
        assert times[200] - times[199] <= 4
