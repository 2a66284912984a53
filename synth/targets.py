"""Parts the flow can price. Each file of :mod:`synth.families` describes a family and lists its parts; a new one is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from synth import families
from synth.part import SynthError, Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in sorted(info.name for info in iter_modules(families.__path__))
    for target in import_module(f"{families.__name__}.{module}").TARGETS
}


def load_target(name: str) -> Target:
    """The named part; raises :class:`SynthError` with the known names."""
    if name not in TARGETS:
        raise SynthError(f"unknown target {name!r}; known targets: {', '.join(TARGETS)}")
    return TARGETS[name]
