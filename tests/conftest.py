"""What tests share: the seed of a run, printed and replayable, and BLAS on one thread."""

import os
import random

import numpy as np
import pytest
from threadpoolctl import threadpool_limits


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=None, help="seed of every random test; printed at the start of a run")


def pytest_configure(config):
    # Through the environment, so that the workers of one run agree on the seed.
    if config.getoption("--seed") is None:
        config.option.seed = int(os.environ.get("GRADLOOM_SEED") or random.randrange(1 << 31))
    os.environ["GRADLOOM_SEED"] = str(config.option.seed)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


def pytest_report_header(config):
    return f"seed: {config.option.seed} (replay with --seed {config.option.seed})"


@pytest.fixture
def seed(request) -> int:
    return request.config.getoption("--seed")


@pytest.fixture
def rng(seed) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def one_thread():
    """BLAS threads wait for each other on products as small as these, long ones on a busy machine."""
    with threadpool_limits(1):
        yield
