"""Verilog to utilisation and Fmax: Yosys, a ring of registers, nextpnr."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from synth.edge import ring_verilog
from synth.estimate import Estimate
from synth.memories import read_memories
from synth.netlist import buffer_resets, cells_by_instance, count_cells, dsp_use, lut_ram_bits, luts, summary, tree
from synth.part import SynthError, Target
from synth.report import Timing, read_placed, read_timing
from synth.source import Sources, read_sources
from synth.targets import load_target
from synth.tools import YOSYS, run, versions

RING = "ring"
STEPS = SYNTHESIS, PLACEMENT, ROUTE = "synthesis", "placement", "route"  # how far a design is taken
FREQUENCY = 160  # MHz asked of the placer; it works no harder than it must

# Read and lowered in a pass of its own: Yosys would otherwise read modules again when it
# meets a primitive with parameters, after their children have gone.
_SYNTHESIS = """\
read_verilog "{verilog}"
hierarchy -top {top}
proc
write_rtlil {top}.il
design -reset
read_rtlil {top}.il
{script}write_json {top}.json
"""
_MEMORIES = "dump -o memories.il t:$mem_v2"
_RINGED = """\
read_json {top}.json
read_verilog ring.v
hierarchy -top ring
flatten
write_json ring.json
"""


def synth(
    verilog: Path,
    top: str,
    target: str,
    *,
    seeds: int | Sequence[int] = 1,
    out: Path,
    lanes: int | None = None,
    until: str = ROUTE,
    progress: bool = True,
) -> dict:
    """Synthesise, place and route module ``top`` on ``target``; return what it takes and how fast it is.

    ``seeds`` is a number of placements to try or the seeds themselves; the fastest counts,
    and all are listed. The unit stands in a ring of registers (:mod:`synth.edge`) whose
    flip-flops are not counted. Logs and netlists go to ``out``.

    Numbers are of the routed design: ``luts`` is everything that occupies a look-up table (logic,
    carry chains, distributed RAM), so it is at most what the part's data sheet counts.
    ``until`` ends sooner: PLACEMENT with a clock rate that nextpnr estimates before it routes, SYNTHESIS without any
    and with look-up tables as Yosys counts them. A target without a placer always ends there.

    Raises :class:`synth.part.SynthError` for an unknown target, a missing tool or a
    design that a tool refuses or that does not fit.
    """
    part = load_target(target)
    family = part.family
    until = until if family.placer else SYNTHESIS
    chosen = seed_list(seeds) if until != SYNTHESIS else []
    tools = versions(YOSYS, *([family.placer.package] if chosen else []))
    netlist = synthesise(verilog, top, part, out, progress)
    resets = buffered(netlist, top, out)
    used = unit = summary(count_cells(netlist, top), family)
    timings: dict[int, Timing] = {}
    if chosen:
        timings, used = _placed(netlist, part, chosen, top, unit["luts"], out, until, progress)
        used = unit | used
    best = max(timings, key=lambda seed: timings[seed].fmax_mhz, default=None)
    paths = Sources(netlist, top, read_sources(verilog))
    return _result(part, unit, used, timings, best, lanes) | {
        **memories_and_multipliers(netlist, top, part, out),
        "by_unit": tree(cells_by_instance(netlist, top), family),
        "buffered_resets": resets,
        "estimated_paths": [asdict(path) for path in Estimate(netlist, top).paths()] if family.estimated else [],
        "critical_path_source": paths.path(timings[best].nets) if best is not None else [],
        "slowest_ends": paths.slowest(timings[best].arrivals, 1e3 / FREQUENCY) if best is not None else [],
        "target": target,
        "until": until,
        "top": top,
        "speed_grade": part.speed,
        "versions": tools,
    }


def area_by_unit(
    verilog: Path, top: str, target: str = "ecp5-85k", *, out: Path, progress: bool = True
) -> list[dict[str, int | str]]:
    """Cells of every instance under ``top`` after synthesis, largest first; no placement.

    Each row has ``instance`` (``""`` is the top's own logic), the numbers of
    :func:`synth.netlist.summary` for the instance alone, and ``luts_below``, which adds
    the instances inside it. The design is flattened first, as it is when it is routed.
    """
    part = load_target(target)
    versions(YOSYS)
    homes = cells_by_instance(synthesise(verilog, top, part, out, progress), top)
    rows: list[dict[str, int | str]] = []
    for instance, cells in homes.items():
        below = sum(
            luts(other, part.family)
            for name, other in homes.items()
            if not instance or f"{name}.".startswith(f"{instance}.")
        )
        rows.append({"instance": instance, **summary(cells, part.family), "luts_below": below})
    return sorted(rows, key=lambda row: -int(row["luts_below"]))


def _result(part: Target, unit: dict, used: dict, timings: dict[int, Timing], best: int | None, lanes) -> dict:
    fmax = {seed: round(timing.fmax_mhz, 2) for seed, timing in timings.items()}
    lut4 = used["luts"] if part.family.lut_inputs == 4 else None
    per_lane = round(used["luts"] / lanes, 1) if lanes else None
    return {
        "lut4": lut4,
        "luts": used["luts"],
        "lut_inputs": part.family.lut_inputs,
        "ff": used["ff"],
        "dsp": used["dsp"],
        "bram": used["bram"],
        "fmax_mhz": fmax.get(best),
        "fmax_spread": round(max(fmax.values()) - min(fmax.values()), 2) if fmax else None,
        "lanes": lanes,
        "lut4_per_lane": per_lane if lut4 is not None else None,
        "luts_per_lane": per_lane,
        "luts_by": {
            **{kind: unit[kind] for kind in ("logic", "carry", "ram")},
            "packing": used["luts"] - unit["luts"],
        },
        "share": part.share(used),
        "seed": best,
        "fmax_by_seed": {str(seed): rate for seed, rate in fmax.items()},
        "critical_path": timings[best].critical_path if best is not None else [],
        "frequency_mhz": FREQUENCY if timings else None,
        "slack_histogram": timings[best].slacks if best is not None else [],
    }


def memories_and_multipliers(netlist: dict, top: str, part: Target, out: Path) -> dict:
    """Keys of the result on what :func:`synthesise` made of memories and multipliers."""
    stored = read_memories(out / "memories.il", out / "synth.log")
    fallen = [memory for memory in stored if memory.for_block and not memory.in_block]
    use = dsp_use(netlist, top, part.family)
    return {
        "memory_bits_in_luts": sum(memory.bits for memory in fallen),
        "memories_in_luts": [memory.name for memory in fallen],
        "queue_bits_in_luts": sum(memory.bits for memory in stored if not memory.for_block),
        "lut_ram_bits": lut_ram_bits(count_cells(netlist, top), part.family),
        "dsp_registered": use["registered"],
        "dsp_accumulating": use["accumulating"],
    }


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """The seeds themselves where a number of them is given. Raises :class:`SynthError` for none."""
    chosen = list(range(1, seeds + 1)) if isinstance(seeds, int) else list(seeds)
    if not chosen:
        raise SynthError(f"seeds must name at least one placement, not {seeds!r}")
    return chosen


def synthesise(verilog: Path, top: str, part: Target, out: Path, progress: bool) -> dict:
    """Yosys's netlist of module ``top`` on ``part``; what memories became stays in ``out``."""
    if not Path(verilog).is_file():
        raise SynthError(f"no Verilog file {verilog}")
    script = part.family.script.format(top=top, flags=part.yosys, memories=_MEMORIES)
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = _SYNTHESIS.format(verilog=Path(verilog).resolve(), top=top, script=script)
        (out / "synth.ys").write_text(text)
    except OSError as error:
        raise SynthError(f"cannot write to {out}: {error.strerror}") from error
    run(YOSYS, ["synth.ys"], folder=out, log="synth.log", what=f"synthesise {top} for {part.name}", progress=progress)
    return json.loads((out / f"{top}.json").read_text())


def buffered(netlist: dict, top: str, out: Path) -> list[str]:
    """:func:`synth.netlist.buffer_resets` on what :func:`synthesise` left in ``out`` for the placer, too; their names."""
    resets = buffer_resets(netlist, top)
    (out / f"{top}.json").write_text(json.dumps(netlist))
    return resets


def _placed(
    netlist: dict, part: Target, seeds: list[int], top: str, luts: int, out: Path, until: str, progress: bool
) -> tuple[dict[int, Timing], dict[str, int]]:
    """Every seed's timing, and what the fastest one uses, the ring left out."""
    ring, ring_flip_flops = ring_verilog(top, netlist["modules"][top]["ports"], RING, part.family.ring)
    (out / "ring.v").write_text(ring)
    for suffix, text in part.family.ring.constraints.items():
        (out / f"ring.{suffix}").write_text(text)
    (out / "ring.ys").write_text(_RINGED.format(top=top))
    run(YOSYS, ["ring.ys"], folder=out, log="ring.log", what=f"ring {top}", progress=False)
    timings = {}
    for seed in seeds:
        _place(part, seed, top, luts, out, until, progress)
        log = out / f"seed{seed}.log"
        timings[seed] = read_timing(out / f"seed{seed}.json", log) if until == ROUTE else read_placed(log)
    placed = part.family.placer.count(timings[max(seeds, key=lambda seed: timings[seed].fmax_mhz)].used)
    for kind in part.family.placer.with_ring:
        placed[kind] -= ring_flip_flops
    return timings, placed


def _place(part: Target, seed: int, top: str, luts: int, out: Path, until: str, progress: bool) -> None:
    # Names are relative to `out`: the packaged nextpnr sees another /tmp than the caller.
    placer = part.family.placer
    arguments = [*part.flags, *placer.effort(luts), "--json", "ring.json", "--report", f"seed{seed}.json"]
    arguments += ["--seed", str(seed), "--freq", str(FREQUENCY), "--timing-allow-fail"]
    arguments.append("--no-route" if until == PLACEMENT else "--detailed-timing-report")
    what = f"{'place' if until == PLACEMENT else 'place and route'} {top} on {part.name}, seed {seed}"
    run(placer.package, arguments, folder=out, log=f"seed{seed}.log", what=what, progress=progress)
