"""Verilog to utilisation and Fmax: Yosys, a ring of registers, nextpnr."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from synth.edge import pin_constraints, ring_verilog
from synth.estimate import Estimate
from synth.netlist import bits_in_luts, cells_by_instance, count_cells, dsp_registered, luts, summary, tree
from synth.report import read_placed, read_timing
from synth.targets import SynthError, Target, load_target
from synth.tools import NEXTPNR, YOSYS, run, versions

RING = "ring"
STEPS = SYNTHESIS, PLACEMENT, ROUTE = "synthesis", "placement", "route"  # how far a design is taken
FREQUENCY = 160  # MHz asked of the placer; it works no harder than it must

# Adders up to this wide go to LUTs: every carry chain costs up to four LUTs more for its
# ends. The mapper may take this long for a path before it saves area instead.
# Both were chosen by measurement: docs/synth.md.
NARROW = 10
DELAY_PS = 2500

# Read and lowered in a pass of its own: Yosys would otherwise read modules again when it
# meets a primitive with parameters, after their children have gone. Nets are split before the
# mapper because it fails on some wide ones (Yosys issue 4451).
_SYNTHESIS = """\
read_verilog "{verilog}"
hierarchy -top {top}
proc
write_rtlil {top}.il
design -reset
read_rtlil {top}.il
scratchpad -set abc9.D {delay}
synth_ecp5 -cmp2softlogic -top {top} -run begin:map_gates
select -set narrow t:$alu r:Y_WIDTH<={narrow} %i
techmap -map +/techmap.v @narrow
synth_ecp5 -cmp2softlogic -top {top} -run map_gates:map_luts
splitnets
synth_ecp5 -cmp2softlogic -top {top} -run map_luts:
write_json {top}.json
"""
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

    Numbers are of the routed design: ``lut4`` is everything that occupies a LUT (logic,
    carry chains, distributed RAM), so it is at most what the part's data sheet counts.
    ``until`` ends sooner: PLACEMENT with a clock rate that nextpnr estimates before it routes, SYNTHESIS without any
    and with LUTs as Yosys counts them.

    Raises :class:`synth.targets.SynthError` for an unknown target, a missing tool or a
    design that a tool refuses or that does not fit.
    """
    part = load_target(target)
    seed_list = _seed_list(seeds) if until != SYNTHESIS else []
    tools = versions()
    netlist = _synthesise(verilog, top, part, out, progress)
    cells = count_cells(netlist, top)
    unit = summary(cells)
    result = {
        **{name: unit[name] for name in ("lut4", "ff", "dsp", "bram")},
        "luts": unit["lut4"],
        "fmax_mhz": None,
        "fmax_spread": None,
        "lanes": lanes,
        "lut4_per_lane": None,
        "target": target,
        "until": until,
        "memory_bits_in_luts": bits_in_luts(cells),
        "dsp_registered": dsp_registered(netlist, top),
        "luts_by": {name: unit[name] for name in ("logic", "carry", "ram")} | {"packing": 0},
        "by_unit": tree(cells_by_instance(netlist, top)),
        "estimated_paths": [asdict(path) for path in Estimate(netlist, top).paths()],
        "seed": None,
        "fmax_by_seed": {},
        "critical_path": [],
        "top": top,
        "speed_grade": part.speed,
        "versions": tools,
    }
    if until != SYNTHESIS:
        result |= _placed(netlist, part, seed_list, top, out, until, progress)
        result["luts"] = result["lut4"]
        result["luts_by"]["packing"] = result["lut4"] - unit["lut4"]
    result["lut4_per_lane"] = round(result["lut4"] / lanes, 1) if lanes else None
    held = {"lut4": part.lut4, "dsp": part.dsp, "bram": part.bram}
    return result | {"share": {name: round(result[name] / whole, 4) for name, whole in held.items()}}


def _placed(netlist: dict, part: Target, seeds: list[int], top: str, out: Path, until: str, progress: bool) -> dict:
    """What placement, and routing where it is wanted, make known; of the fastest seed."""
    ring, ring_flip_flops = ring_verilog(top, netlist["modules"][top]["ports"], RING)
    (out / "ring.v").write_text(ring)
    (out / "ring.lpf").write_text(pin_constraints())
    (out / "ring.ys").write_text(_RINGED.format(top=top))
    run(YOSYS, ["ring.ys"], folder=out, log="ring.log", what=f"ring {top}", progress=False)
    timings = {}
    for seed in seeds:
        _place(part, seed, top, out, until, progress)
        read = read_timing if until == ROUTE else read_placed
        timings[seed] = read(out / f"seed{seed}.{'json' if until == ROUTE else 'log'}")
    best = max(seeds, key=lambda seed: timings[seed].fmax_mhz)
    used = timings[best].used
    rates = {str(seed): round(timings[seed].fmax_mhz, 2) for seed in seeds}
    return {
        "lut4": used["TRELLIS_COMB"],
        "ff": used.get("TRELLIS_FF", 0) - ring_flip_flops,
        "dsp": used.get("MULT18X18D", 0),
        "bram": used.get("DP16KD", 0),
        "fmax_mhz": rates[str(best)],
        "fmax_spread": round(max(rates.values()) - min(rates.values()), 2),
        "seed": best,
        "fmax_by_seed": rates,
        "critical_path": timings[best].critical_path,
    }


def area_by_unit(
    verilog: Path, top: str, target: str = "ecp5-85k", *, out: Path, progress: bool = True
) -> list[dict[str, int | str]]:
    """Cells of every instance under ``top`` after synthesis, largest first; no placement.

    Each row has ``instance`` (``""`` is the top's own logic), the numbers of
    :func:`synth.netlist.summary` for the instance alone, and ``lut4_below``, which adds
    the instances inside it. The design is flattened first, as it is when it is routed.
    """
    part = load_target(target)
    versions()
    homes = cells_by_instance(_synthesise(verilog, top, part, out, progress), top)
    rows: list[dict[str, int | str]] = []
    for instance, cells in homes.items():
        below = sum(
            luts(other) for name, other in homes.items() if not instance or f"{name}.".startswith(f"{instance}.")
        )
        rows.append({"instance": instance, **summary(cells), "lut4_below": below})
    return sorted(rows, key=lambda row: -int(row["lut4_below"]))


def _seed_list(seeds: int | Sequence[int]) -> list[int]:
    chosen = list(range(1, seeds + 1)) if isinstance(seeds, int) else list(seeds)
    if not chosen:
        raise SynthError(f"seeds must name at least one placement, not {seeds!r}")
    return chosen


def _synthesise(verilog: Path, top: str, part: Target, out: Path, progress: bool) -> dict:
    if not Path(verilog).is_file():
        raise SynthError(f"no Verilog file {verilog}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        script = _SYNTHESIS.format(verilog=Path(verilog).resolve(), top=top, narrow=NARROW, delay=DELAY_PS)
        (out / "synth.ys").write_text(script)
    except OSError as error:
        raise SynthError(f"cannot write to {out}: {error.strerror}") from error
    run(YOSYS, ["synth.ys"], folder=out, log="synth.log", what=f"synthesise {top} for {part.name}", progress=progress)
    return json.loads((out / f"{top}.json").read_text())


def _place(part: Target, seed: int, top: str, out: Path, until: str, progress: bool) -> None:
    # Names are relative to `out`: the packaged nextpnr sees another /tmp than the caller.
    arguments = [f"--{part.device}", "--package", part.package, "--speed", str(part.speed)]
    arguments += ["--json", "ring.json", "--report", f"seed{seed}.json", "--seed", str(seed)]
    arguments += ["--lpf", "ring.lpf", "--lpf-allow-unconstrained"]
    arguments += ["--router", "router1", "--freq", str(FREQUENCY), "--timing-allow-fail"]
    if until == PLACEMENT:
        arguments.append("--no-route")
    what = f"{'place' if until == PLACEMENT else 'place and route'} {top} on {part.name}, seed {seed}"
    run(NEXTPNR, arguments, folder=out, log=f"seed{seed}.log", what=what, progress=progress)
