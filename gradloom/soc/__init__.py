"""What goes with a machine's Verilog into somebody else's system: bus wrapper, descriptions, projects, driver."""

from pathlib import Path


def litex_module_file() -> str:
    """The text of ``gradloom_litex.py``, which needs LiteX and none of our packages."""
    return Path(__file__).with_name("litex_module.py").read_text()
