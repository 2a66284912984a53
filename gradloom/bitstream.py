"""``gradloom bitstream`` and ``gradloom board``: a board's files, and its logic in simulation."""

import json
from pathlib import Path
from signal import SIGINT, SIGTERM, default_int_handler, signal
from time import sleep

import click

from gradloom.console import err, talk, write_json
from gradloom.options import board_option, json_option
from spec.boards import Board


@click.command()
@board_option(required=True)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Placements to try until one is fast enough."
)
@json_option
def bitstream(on_board: Board, seeds: int, json_to: str | None) -> None:
    """Write Verilog, constraints and bitstream of a board, and a report, to one folder under build/.

    A placement that is slower than the board's clock gives no bitstream.
    """
    from gradloom.board import board_netlist
    from report.tables import value_table
    from synth.board import bitstream as build

    netlist = board_netlist(on_board, target="ecp5")
    out = netlist.folder.with_name(f"bitstream-{on_board.name}")
    report, files = build(on_board, netlist.verilog, netlist.top, seeds=seeds, out=out)
    report |= {"chip": on_board.chip, "lanes": on_board.design().chip.total_lanes}
    path = out / "report.json"
    report["files"] = [str(file) for file in (*files, path)]
    path.write_text(json.dumps(report, indent=2) + "\n")
    talk(json_to).print(value_table(f"board {on_board.name}", report))
    write_json(report, json_to)


@click.command()
@board_option(required=True)
@click.option("--link", type=Path, help="A symbolic link to make to the port.")
@click.option("--noise", type=float, default=0.0, show_default=True, help="Probability that a bit is turned over.")
def board(on_board: Board, link: Path | None, noise: float) -> None:
    """Run a board's logic in simulation behind a pseudo-terminal, whose name is printed, until Ctrl-C or kill.

    Whatever opens the terminal talks to the simulated serial line: gradloom train --backend board --port PORT.
    """
    from gradloom.board import simulated

    with simulated(on_board, noise) as running:
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(running.port)
        click.echo(running.port)
        for number in (SIGINT, SIGTERM):  # a shell's job in the background ignores the first one until told otherwise
            signal(number, default_int_handler)
        try:
            while True:
                sleep(3600)
        except KeyboardInterrupt:
            err.print(f"{running.cycles:,} cycles, {sum(running.bytes_moved):,} bytes")
        finally:
            if link is not None:
                link.unlink(missing_ok=True)
