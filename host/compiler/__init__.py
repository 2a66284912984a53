"""Networks to programs: see docs/compiler.md."""

from host.compiler.errors import DoesNotFit, Unsupported
from host.compiler.programs import compile_predict, compile_step

__all__ = ["DoesNotFit", "Unsupported", "compile_predict", "compile_step"]
