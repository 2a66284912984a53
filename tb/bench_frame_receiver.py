"""Frames off a line against :func:`spec.link.checked`: whole ones, damaged ones, long ones, bytes of noise."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.link import CRC_BYTES, END, ESCAPE, HEADER_BYTES, MAX_DATA, MAX_REQUEST, Op, Request, checked
from tb.kit import Stream, cycles, generator, guard, send, start
from tb.line_faults import spoil

LATENCY = 2  # of the memory behind r_addr


async def take(dut, count, rng, stall, limit=200):
    """Frames until none has come for ``limit`` cycles: (head, data), None for a damaged one."""
    o, edge, frames, quiet = Stream(dut, "o"), RisingEdge(dut.clk), [], 0
    cocotb.start_soon(guard(o))
    while quiet < limit or len(frames) < count:
        await edge
        quiet += 1
        if not o.valid.value or rng.random() < stall:
            continue
        quiet = 0
        fields = dict(zip(o.fields, o.raw(), strict=True))
        if fields["damaged"]:
            frames.append(None)
        else:
            names = (("sequence", 1), ("op", 1), ("count", 1), ("address", 4))
            head = b"".join(fields[f"head__{name}"].to_bytes(size, "little") for name, size in names)
            data = bytearray()
            for at in range(max(0, min(MAX_DATA, fields["length"] - HEADER_BYTES - CRC_BYTES))):
                dut.r_addr.value = at
                await cycles(dut, LATENCY + 1)
                data.append(int(dut.r_data.value))
            frames.append((fields["length"], head, bytes(data)))
        o.ready.value = 1
        await edge
        o.ready.value = 0
        await edge
    return frames


def expected(line):
    """What the bytes of a line, with their marks, are."""
    result, frame, bad = [], bytearray(), False
    for byte, mark in line:
        if mark:
            bad = True
        elif byte != END:
            frame.append(byte)
        else:
            if frame or bad:
                body = None if bad or too_long(frame) else checked(bytes(frame))
                result.append(body if body is None else (len(body) + CRC_BYTES, body))
            frame, bad = bytearray(), False
    return result


def too_long(frame):
    return sum(byte != ESCAPE for byte in frame) > MAX_REQUEST


def same(got, want):
    """Whether frames are as they must be; the head of one that is too short for a head may be anything."""
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        if one is None or other is None:
            assert one is other
            continue
        length, body = other
        assert one[0] == length
        if length >= HEADER_BYTES + CRC_BYTES:
            assert one[1] + one[2] == body


def requests(rng, count, most=64):
    for _ in range(count):
        size = int(rng.integers(0, most))
        data = bytes(rng.choice([END, ESCAPE, 0xDC, 0xDD, 0, int(rng.integers(0, 256))], size).astype("uint8"))
        yield Request(Op(int(rng.integers(0, 4))), int(rng.integers(0, 1 << 32)), int(rng.integers(1, 257)), data)


async def play(dut, line, rng, stall):
    await start(dut)
    want = expected(line)
    task = cocotb.start_soon(take(dut, len(want), rng, stall))
    columns = {"data": [byte for byte, _ in line], "bad": [mark for _, mark in line]}
    await send(Stream(dut, "i"), columns, rng, stall)
    same(await task, want)
    return want


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def takes_whole_frames(dut, stall):
    rng = generator()
    line = [(byte, 0) for n, r in enumerate(requests(rng, 60)) for byte in r.frame(n % 255 + 1)]
    assert None not in await play(dut, line, rng, stall)


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def finds_every_damaged_frame(dut, stall):
    rng = generator()
    line = []
    for n, request in enumerate(requests(rng, 300, 24)):
        frame = [(byte, 0) for byte in request.frame(n % 255 + 1)]
        line += spoil(frame, rng) if rng.random() < 0.6 else frame
        line += [(END, 0)] * int(rng.integers(0, 2))
    want = await play(dut, [*line, (END, 0)], rng, stall)
    assert want.count(None) > 50
    assert len(want) - want.count(None) > 50


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def takes_the_longest_and_no_longer(dut):
    rng = generator()
    line = []
    for size in (MAX_DATA - 1, MAX_DATA, MAX_DATA + 1, MAX_DATA + 8, 2 * MAX_DATA + 7, 5):
        line += [(byte, 0) for byte in Request(Op.WRITE_MEMORY, 8, 256, rng.bytes(size)).frame(9)]
    want = await play(dut, line, rng, 0.0)
    assert [one is None for one in want] == [False, False, True, True, True, False]
