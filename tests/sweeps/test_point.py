"""How a worker runs a point, and what it takes out of it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lib.paths import ROOT
from lib.press import show
from lib.sweeps.point import numbers_of
from tests.sweeps.tiny import run


def test_what_a_notebook_shows_as_a_result_is_collected_and_what_is_not_finite_is_missing(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "show", lambda mimes, metadata: shown.append(metadata))
    show.result("heights", {"z": [1, float("nan")], "a": np.array([True, 2.5], dtype=object)})
    outputs = json.loads(json.dumps([{"metadata": told} for told in shown], allow_nan=False))
    rows = numbers_of({"cells": [{"outputs": outputs}]}).to_pylist()
    assert [(row["source_name"], row["quantity"], row["row"], row["value"]) for row in rows] == [
        ("heights", "z", 0, 1.0), ("heights", "z", 1, None), ("heights", "a", 0, 1.0), ("heights", "a", 1, 2.5),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"of one length, got \[1, 2\]"):
        show.result("heights", {"z": [1], "a": [1, 2]})


@pytest.mark.slow
def test_a_kernel_that_always_dies_is_a_failure_after_its_retries(tiny, address):
    tiny.write("import signal\nif n == 3: os.kill(os.getpid(), signal.SIGKILL)\n")
    summary, table, _ = run(tiny, "grid: {product: {n: [0, 3]}, list: [{x: 1.0}]}\n", address)
    assert summary.done == 1
    (error,) = summary.failed.values()
    assert "the kernel died 3 times" in error
    assert len([line for line in tiny.events("start") if line[1] == "3"]) == 3
    assert table.loc[table["n"] == 3, "state"].tolist() == ["failed"]


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("sweeps.run", ("dask", "distributed", "papermill")),
        ("sweeps.point", ("dask", "distributed", "papermill", "torch", "pandas")),
    ],
)
def test_nothing_is_imported_before_it_is_needed(module, without):
    code = f"import sys, lib.{module}; print([m for m in sys.modules if m.split('.')[0] in {without}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.strip() == "[]", done.stderr
