"""``python -m prove.emit NAME FILE``: the harness of a proof as RTLIL, from the sources that Python finds."""

import importlib
import sys
from pathlib import Path

from prove.table import PROOFS, Proof


def harness_text(proof: Proof) -> str:
    module, function = proof.harness.split(":")
    return getattr(importlib.import_module(module), function)().text()


if __name__ == "__main__":
    (chosen,) = (proof for proof in PROOFS if proof.name == sys.argv[1])
    Path(sys.argv[2]).write_text(harness_text(chosen))
