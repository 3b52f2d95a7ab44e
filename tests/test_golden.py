"""Numbers guard the code: a small run of each kind gives what it gave when it was kept."""

import pandas as pd
import pytest

from lib.press.verify import compare
from lib.records import KINDS
from tests.golden import GOLDEN, TABLES, table_of


@pytest.mark.parametrize("name", GOLDEN)
def test_a_run_gives_the_kept_numbers(name):
    kept = pd.read_parquet(TABLES / f"{name}.parquet")
    found = table_of(GOLDEN[name])
    agrees, worst = compare(found, kept, getattr(GOLDEN[name], "counts", ()))
    assert agrees, worst
    assert len(found) == len(kept)


def test_each_kind_of_record_has_its_run():
    assert {one.kind for one in GOLDEN.values()} == set(KINDS)


def test_a_moved_number_is_found():
    """The comparison can fail: a loss that is 2 % off, a missing column, a NaN."""
    kept = pd.read_parquet(TABLES / "binary.parquet")
    for change in (
        kept.assign(train_loss=kept["train_loss"] * 1.02),
        kept.drop(columns="ratio"),
        kept.assign(ratio=kept["ratio"].where(kept["epoch"] != 2)),
    ):
        assert not compare(change, kept)[0]
