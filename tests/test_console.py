"""A request to end is heeded as Ctrl-C is."""

import os
import signal
import threading
import time

import click
from click.testing import CliRunner

from gradloom.console import RefusingGroup, terminable


@click.group(cls=RefusingGroup)
def group():
    """Commands of the test."""


@group.command()
def ends():
    """Asks itself to end, and has something to keep."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        click.echo("kept")
        raise


def test_a_command_that_is_asked_to_end_keeps_what_it_has():
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(group, ["ends"])
    assert done.output.split() == ["kept", "Aborted!"]
    assert done.exit_code == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_thread_of_another_program_sets_no_handler():
    """As only the main thread may."""
    failed = []

    def work():
        try:
            with terminable():
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
