"""A small Ray for all tests of the search, with workers that can import the helpers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def ray_two_cpus() -> Iterator[None]:
    """Ray on this machine with two CPUs, whatever the machine has; started once, for tests that do not end it."""
    import ray

    from search._process import environment
    from search.study import Resources
    from search.tune.connection import worker_environment

    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    variables = {**worker_environment(Resources(cpu=1, gpu=0, pack_tokens=None)), "PYTHONPATH": paths}
    with environment(variables):
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    yield
    ray.shutdown()
