"""Clock cycles per second of the native simulation, apart for writing, computing and reading: prints JSON.

usage: python bench/speed.py [CHIP]     (default sim64)

Processor time, so that other work on the machine disturbs little. The operands are those of one training
step of the demo, layer by layer, dense.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from gradloom.machine import native_engine
from host.backends import to_bricks
from host.placement import place
from host.rtl import placed
from spec.chip import load_chip
from spec.product import Product

SHAPES = ((32, 65, 256), (32, 257, 64), (257, 32, 64), (65, 32, 256))


def measure(name: str) -> dict:
    """Cycles and cycles per second of each kind of work."""
    cycles = dict.fromkeys(("write", "run", "read"), 0)
    seconds = dict.fromkeys(cycles, 0.0)
    rng = np.random.default_rng(0)
    with native_engine(load_chip(name)) as engine:

        def timed(kind: str, call: Callable[[], object]) -> None:
            before, start = engine.cycles, time.process_time()
            call()
            cycles[kind] += engine.cycles - before
            seconds[kind] += time.process_time() - start

        for m, k, n in SHAPES:
            where = place(engine.chip, m, k, n, False)
            a, b = (to_bricks(rng.integers(-3000, 3000, shape)).reshape(-1, 8) for shape in ((m, k), (k, n)))
            command = placed(Product(m=m, k=k, n=n, shift=12, skip=False, index_stride=n), where)
            for _ in range(3):
                timed("write", lambda a=a, where=where: engine.write(where.a, a))
                timed("write", lambda b=b, where=where: engine.write(where.b, b))
                timed("run", lambda command=command: engine.run(command))
                timed("read", lambda m=m, n=n, where=where: engine.read(where.c, m * (-(-n // 8))))
    return {"chip": name} | {
        kind: {"cycles": cycles[kind], "hz": round(cycles[kind] / seconds[kind])} for kind in cycles
    }


if __name__ == "__main__":
    print(json.dumps(measure(*(sys.argv[1:2] or ["sim64"])), indent=2))
