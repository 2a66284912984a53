"""Speed of the golden product against NumPy's int64 ``@``: prints JSON.

usage: python bench/golden_product.py [SIZE]     (default 1024; the int64 sums take seconds)
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from golden.product import product
from spec.number import Rounding


def best_of(repeats: int, call: Callable[[], object]) -> float:
    """Shortest of some wall times, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(size: int = 1024, repeats: int = 3) -> dict:
    """A stochastically rounded product of size**3, and its sums alone through int64 ``@``."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-32768, 32768, (2, size, size))
    golden = best_of(repeats, lambda: product(a, b, shift=20, rounding=Rounding.STOCHASTIC, key=1))
    int64 = best_of(1, lambda: a @ b)
    return {
        "size": size,
        "golden_seconds": golden,
        "int64_seconds": int64,
        "golden_macs_per_s": size**3 / golden,
        "int64_macs_per_s": size**3 / int64,
        "ratio": int64 / golden,
    }


if __name__ == "__main__":
    print(json.dumps(measure(*(int(size) for size in sys.argv[1:2])), indent=2))
