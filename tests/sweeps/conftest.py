"""What the tests of sweeps share."""

import pytest

from lib.sweeps.cluster import local_cluster
from tests.sweeps.tiny import Tiny, fake


@pytest.fixture
def tiny(tmp_path):
    return Tiny(tmp_path)


@pytest.fixture(scope="session")
def address():
    """The scheduler of two workers that several tests share."""
    with local_cluster(1, [None, None]) as started:
        yield started.scheduler_address


@pytest.fixture
def stored(tiny):
    """A store with one point of four done."""
    tiny.store.open(create=True)
    one = tiny.sweep("grid: {product: {x: [1.0, 2.0, 3.0, 4.0]}}\n")
    return tiny.store, one, fake(tiny.store, one, {"x": 1.0})
