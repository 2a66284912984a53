"""Run a cocotb bench on a netlist. The only file that touches cocotb's runner."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from spec.netlist import Netlist
from tb import toolchain

WAIVED = ["-Wno-WIDTHEXPAND"]  # Yosys leaves operand extension to Verilog context
# FST waves want two compression libraries: the headers in tb/native/fst stand in for them,
# and so do empty archives in the build's own folder.
WAVES = ["--trace-fst", "-CFLAGS", f"-I{Path(__file__).parent / 'native' / 'fst'}", "-LDFLAGS", "-L."]
# Python takes most of a test's run, and the compiler most of what comes before it.
QUICK = " OPT_FAST=-O0 OPT_SLOW=-O0"
WAVES_ARCHIVES = ("liblz4.a", "libz.a")
STRICT = {"PYTHONWARNINGS": "error::DeprecationWarning"}


def run(
    bench: str,
    netlist: Netlist,
    seed: int,
    *,
    env: Mapping[str, str] | None = None,
    testcase: str | Sequence[str] | None = None,
    waves: bool = False,
    verbose: bool = True,
    optimised: bool = False,
) -> tuple[int, int]:
    """Simulate ``netlist`` under the tests of module ``tb.<bench>``; return (tests run, tests failed).

    ``env`` reaches the bench as environment variables. Equal Verilog is compiled once, whoever asks.
    Memories and registers without reset start random, by the seed. ``waves`` records
    every signal to ``dump.fst`` in the run's folder, whose path is printed.
    ``optimised`` compiles as Verilator would by itself: slower to build, faster to run.
    The caller asserts that tests ran as well as that none failed.

    Raises :class:`tb.toolchain.ToolError` when the netlist does not compile (warnings
    are errors), and when the simulation ends without results.
    """
    simulator = _simulator(netlist, waves, optimised)
    module = f"tb.{bench}"
    out = netlist.folder / "sim" / f"{module}-{seed}"
    out.mkdir(parents=True, exist_ok=True)
    log = out / "sim.log"
    print(f"{module} on {netlist.top}, seed {seed}, log {log}" + (f", waves {out / 'dump.fst'}" if waves else ""))

    # Under pytest the runner would raise instead of leaving results to count.
    with toolchain.patched_environment({}, remove=("PYTEST_CURRENT_TEST", "WAVES", "GUI")):
        try:
            results = get_runner("verilator").test(
                test_module=module,
                hdl_toplevel=netlist.top,
                hdl_toplevel_lang="verilog",
                build_dir=simulator,
                test_dir=out,
                results_xml="results.xml",
                seed=seed,
                testcase=testcase,
                waves=waves,
                test_args=["--trace-file", "dump.fst"] if waves else [],
                plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**31 or 1}"],
                log_file=log,
                extra_env=STRICT
                | {"SPEC": str(netlist.spec.resolve()), "PORTS": str(netlist.ports.resolve())}
                | dict(env or {}),
            )
            ran, failed = get_results(results)
        except (SystemExit, RuntimeError) as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""
            raise toolchain.ToolError(f"{module} ended without results:\n{tail}") from error
    if failed and verbose:
        sys.stdout.write(log.read_text(errors="replace"))
    return ran, failed


def _simulator(netlist: Netlist, waves: bool, optimised: bool) -> Path:
    """Folder of the compiled simulator, named by the digest of all that goes into it."""
    arguments = [*WAIVED, *(WAVES if waves else [])]
    flags = "" if optimised else QUICK
    runtime = toolchain.digest("sim", *arguments)
    digest = toolchain.digest(netlist.verilog.read_text(), netlist.top, flags, *arguments)

    def build(folder: Path) -> None:
        log = folder / "build.log"
        for archive in WAVES_ARCHIVES if waves else ():
            (folder / archive).write_bytes(b"!<arch>\n")
        toolchain.take_runtime(folder, runtime)
        try:
            tools = toolchain.environment()
            with toolchain.patched_environment(tools | {"MAKEFLAGS": tools["MAKEFLAGS"] + flags}):
                get_runner("verilator").build(
                    sources=[netlist.verilog],
                    hdl_toplevel=netlist.top,
                    build_dir=folder,
                    build_args=arguments,
                    waves=waves,
                    log_file=log,
                )
        except RuntimeError as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise toolchain.ToolError(f"{netlist.verilog} does not compile:\n{tail}") from error
        toolchain.keep_runtime(folder, runtime)

    return toolchain.built_once(toolchain.build_root() / "sim" / f"{netlist.top}-{digest}", build)
