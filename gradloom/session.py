"""The Python API: a network, a data set and a machine by name."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from golden.presets import preset
from gradloom.backend import opened
from host.datasets import load
from host.session import Session
from spec.chip import Chip, load_chip


@contextmanager
def session(
    net: str = "cnn",
    data: str = "digits",
    chip: str | Chip = "sim64",
    backend: str = "emulator",
    *,
    batch: int | None = None,
    seed: int = 0,
    check: bool = False,
) -> Generator[Session, None, None]:
    """A :class:`host.session.Session` with the settings that ``gradloom train`` has for ``net``.

    chip : a name, a TOML file or a :class:`Chip`. backend : "emulator", or "rtl" for generated hardware in simulation.
    """
    config = replace(preset(net), seed=seed)
    if batch is not None:
        config = replace(config, batch=batch)
    with opened(backend, load_chip(chip) if isinstance(chip, str) else chip) as machine:
        yield Session(config, load(data), machine, check)
