"""A generated Verilog file and what goes with it: all that the layers after hw see of a unit."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Netlist:
    """Module ``top`` and the modules under it, in files of one folder.

    ``spec`` holds the parameters it was generated from (JSON, field to value), ``ports``
    its ports (JSON, name to ``direction``, ``width`` and ``signed``), ``sources`` where the
    Python declares its signals (JSON, module to signal to file and line).
    """

    verilog: Path
    top: str

    @property
    def folder(self) -> Path:
        return self.verilog.parent

    @property
    def spec(self) -> Path:
        return self.verilog.with_name("spec.json")

    @property
    def ports(self) -> Path:
        return self.verilog.with_name("ports.json")

    @property
    def sources(self) -> Path:
        return self.verilog.with_name("sources.json")
