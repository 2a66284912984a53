"""What every command shares: where text goes, JSON, progress bars, refusals."""

import json
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

out = Console()
err = Console(stderr=True)


class Refusal(click.ClickException):
    """Bad input: its text on standard error, exit status 2."""

    exit_code = 2


@contextmanager
def terminable() -> Generator[None, None, None]:
    """A request to end, SIGTERM, is as Ctrl-C: tools that run are stopped and what was done is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


class RefusingGroup(click.Group):
    """Turns a ValueError, which all our packages raise for bad input, into a :class:`Refusal`, and a request to end into Ctrl-C."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            with terminable():
                return super().invoke(ctx)
        except ValueError as error:
            if os.environ.get("GRADLOOM_TRACEBACK"):
                raise
            raise Refusal(str(error)) from error


def write_folder(folder: Path) -> Path:
    """``folder``, made where it is missing; raises :class:`Refusal` when it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".gradloom"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Refusal(f"cannot write to {folder}: {error.strerror}") from error
    return folder


def write_json(result: dict | list[dict], where: str | None) -> None:
    """To the file named, to standard output for ``-``, nowhere for None."""
    if where is None:
        return
    text = json.dumps(result, indent=2, default=str) + "\n"
    if where == "-":
        click.echo(text, nl=False)
        return
    write_folder(Path(where).parent)
    try:
        Path(where).write_text(text)
    except OSError as error:
        raise Refusal(f"cannot write to {where}: {error.strerror}") from error


def talk(where: str | None) -> Console:
    """Where tables go: standard error when standard output carries JSON."""
    return err if where == "-" else out


def wide(console: Console, least: int) -> Console:
    """The same for a table of ``least`` columns: a file or a pipe has no width of its own."""
    return console if console.is_terminal else Console(file=console.file, width=least)


@contextmanager
def bars() -> Generator[Progress, None, None]:
    """A progress display on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=err) as progress:
        yield progress
