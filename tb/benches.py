"""Every unit with a bench of its own: what the bench needs built.

Components and the functions that give their shapes are named, ``module:name``, not imported: a bench sees
Verilog. :mod:`gradloom.units` turns a name of :data:`UNITS` into a netlist and the bench's environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A component and the bench that tries it.

    Arguments of the constructor are ``chip`` itself, ``chip.<field>``, ``widths.<property>`` of
    :class:`spec.engine.Widths`, a number, or ``module:function``, which is called with the chip. Integer arguments and
    the component's ``LATENCY`` and ``PAUSE`` reach the bench as environment variables in capitals.
    """

    component: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)
    bench: str


CHIP = {"chip": "chip"}

UNITS = {
    "machine": Unit(component="hw.machine:Machine", arguments=CHIP, bench="bench_machine"),
    "engine": Unit(component="hw.engine:Engine", arguments=CHIP, bench="bench_engine"),
    "sequencer": Unit(component="hw.sequencer:Sequencer", arguments=CHIP, bench="bench_sequencer"),
    "visits": Unit(component="hw.visits:Visits", arguments=CHIP, bench="bench_visits"),
    "fetch": Unit(component="hw.fetch:Fetch", arguments=CHIP, bench="bench_fetch"),
    "rowlist": Unit(component="hw.rowlist:RowLists", arguments=CHIP, bench="bench_rowlist"),
    "scan": Unit(component="hw.scan:Scan", arguments=CHIP, bench="bench_scan"),
    "queues": Unit(component="hw.queues:Queues", arguments=CHIP, bench="bench_queues"),
    "lanes": Unit(component="hw.lanes:Lanes", arguments=CHIP, bench="bench_lanes"),
    "drain": Unit(component="hw.drain:Drain", arguments=CHIP, bench="bench_drain"),
    "finish": Unit(component="hw.finish:Finish", arguments=CHIP | {"sources": 2}, bench="bench_finish"),
    "rowqueue": Unit(component="hw.rowqueue:RowQueue", arguments=CHIP, bench="bench_rowqueue"),
    "scratchpad": Unit(
        component="hw.scratchpad:Scratchpad",
        arguments=CHIP | {"readers": 5, "writers": 3, "pairs": 2},
        bench="bench_scratchpad",
    ),
    "counters": Unit(component="hw.counters:Counters", arguments=CHIP, bench="bench_counters"),
    "arbiter": Unit(
        component="hw.arbiter:Arbiter",
        arguments={"shape": "hw.layouts:item", "count": "chip.lanes"},
        bench="bench_arbiter",
    ),
    "turns": Unit(
        component="hw.turns:Turns",
        arguments={"shape": "hw.layouts:item", "count": "chip.lanes", "pause": 5, "compact": "chip.compact"},
        bench="bench_turns",
    ),
    "chain": Unit(component="hw.chain:Chain", arguments={"shape": "hw.layouts:result", "depth": 3}, bench="bench_chain"),
    "fifo": Unit(
        component="hw.fifo:Fifo",
        arguments={"shape": "hw.layouts:result", "depth": "chip.queue_depth"},
        bench="bench_fifo",
    ),
    "block_fifo": Unit(
        component="hw.fifo:BlockFifo",
        arguments={"shape": "hw.layouts:result", "depth": "chip.queue_depth"},
        bench="bench_fifo",
    ),
    "chain_of_one": Unit(component="hw.chain:Chain", arguments={"shape": "hw.layouts:result", "depth": 1}, bench="bench_chain"),
    "convert": Unit(component="hw.convert:Converter", arguments={"spec": "widths.convert"}, bench="bench_convert"),
    "axi_read": Unit(component="hw.axi_read:AxiReader", arguments={"spec": "spec.axi:axi"}, bench="bench_axi_read"),
    "axi_write": Unit(component="hw.axi_write:AxiWriter", arguments={"spec": "spec.axi:axi"}, bench="bench_axi_write"),
    "load": Unit(component="hw.load:Load", arguments=CHIP | {"spec": "spec.axi:axi"}, bench="bench_load"),
    "store": Unit(component="hw.store:Store", arguments=CHIP | {"spec": "spec.axi:axi"}, bench="bench_store"),
    "vector": Unit(component="hw.vector:VectorUnit", arguments=CHIP, bench="bench_vector"),
    "check": Unit(component="hw.check:Check", arguments=CHIP, bench="bench_check"),
    "registers": Unit(component="hw.registers:Registers", arguments=CHIP, bench="bench_registers"),
    "control": Unit(component="hw.control:Control", bench="bench_control"),
    "descriptors": Unit(
        component="hw.descriptors:Descriptors", arguments=CHIP | {"spec": "spec.axi:axi"}, bench="bench_descriptors"
    ),
    "read_share": Unit(
        component="hw.read_share:ReadShare", arguments={"spec": "spec.axi:axi", "depth": 12}, bench="bench_read_share"
    ),
    "tallies": Unit(component="hw.tallies:Tallies", arguments=CHIP, bench="bench_tallies"),
    "uart": Unit(component="hw.uart:Uart", arguments={"divider": 13}, bench="bench_uart"),
    "frame_receiver": Unit(component="hw.frames:FrameReceiver", bench="bench_frame_receiver"),
    "frame_sender": Unit(component="hw.frames:FrameSender", bench="bench_frame_sender"),
    "uart_bridge": Unit(
        component="hw.uart_bridge:UartBridge",
        arguments={"design": "spec.boards:least_design"},
        bench="bench_uart_bridge",
    ),
    "on_chip_memory": Unit(
        component="hw.on_chip_memory:OnChipMemory",
        arguments={"spec": "spec.axi:axi", "size": 8192},
        bench="bench_on_chip_memory",
    ),
    "keyed": Unit(component="hw.keyed:Keyed", bench="bench_keyed"),
}


def benches() -> dict[str, str]:
    """Unit to the module of its bench."""
    return {name: unit.bench for name, unit in UNITS.items()}
