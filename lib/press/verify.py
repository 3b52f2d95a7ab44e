"""Do recorded numbers still come out of today's code? The first part of a record is run again and compared."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ..paths import ROOT
from ..progress import say
from ..provenance import device_name
from ..records import Store, history_frame
from ..runs import Run, code_of
from ..train import Machine, TrainingDiverged

NO_NUMBERS = True

# Two trainings of the same code on different processors drift apart by rounding. Over the first
# few epochs they stay within this much of each other: |a - b| <= ABSOLUTE + RELATIVE * |b|.
RELATIVE, ABSOLUTE = 5e-3, 2e-3


@dataclass(frozen=True)
class Verification:
    """Outcome of running the first part of a record again."""

    path: Path
    rows: int
    agrees: bool
    worst: str  # the column that differs most, and by how much


def verify(
    path: Path,
    *,
    epochs: int = 2,
    machine: Machine = Machine(),
    folder: str | Path | None = None,
    before: Path | None = None,
) -> Verification:
    """Run the first part of a record again; where they agree, note it as checked by today's code.

    The first part of a training is its first ``epochs``; `Recordable.short` says what it is of others.

    Agreement: every number within ABSOLUTE + RELATIVE times its recorded value. A training that small differences grow
    in may miss that on another processor, whatever the code. Where it does, and ``before`` is a checkout of the code
    that made or last checked the record, it is agreement too that this code gives exactly today's numbers on this
    machine. The record itself is never changed.
    """
    store = Store(path.parent)
    run = store.run(path)
    experiment, history = run.experiment, run.history
    state, today_code = run.state, code_of(experiment).id  # before the run: files may change while it takes its time
    try:
        with machine.card():
            outcome = experiment.short(epochs).run(
                machine=machine, folder=folder, resume=False, made_by="", progress=False
            )
    except TrainingDiverged as diverged:
        _take_back(store, run, today_code)
        return Verification(path, len(diverged.history), False, str(diverged))
    today = history_frame(outcome.history)
    timed = list(getattr(experiment, "timed", ()))
    agrees, worst = compare(
        today.drop(columns=timed), history.head(len(today)).drop(columns=timed), getattr(experiment, "counts", ())
    )
    if not agrees and before:
        agrees, worst = _as_before(path, today.drop(columns=timed), timed, epochs, machine, folder, before, worst)
    if agrees and state == "older code":
        check = {
            "identity": today_code,
            "made": False,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": device_name(machine.resolve(), outcome.threads),
            "of": run.provenance["date"],
            "rows": len(today),
            "worst": worst,
        }
        _note(store, experiment.key, check)
    elif not agrees:
        _take_back(store, run, today_code)
    return Verification(path, len(today), agrees, worst)


_BEFORE = """
import sys
from pathlib import Path
from lib.records import Store, history_frame
from lib.train import Machine
path, epochs, device, folder, out = sys.argv[1:]
run = Store(Path(path).parent).run(Path(path))
if run.state == "older code":
    sys.exit(f"it was made or checked by code {run.code}, which is not that commit's")
short = run.experiment.short(int(epochs))
found = short.run(machine=Machine(device), folder=folder or None, resume=False, made_by="", progress=False)
history_frame(found.history).to_parquet(out)
"""


def _as_before(
    path: Path,
    today: pd.DataFrame,
    timed: Sequence[str],
    epochs: int,
    machine: Machine,
    folder: str | Path | None,
    before: Path,
    worst: str,
) -> tuple[bool, str]:
    """Whether the code of a checkout gives exactly the numbers ``today``; and that, or why not, after ``worst``."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "before.parquet"
        given = [path.resolve(), epochs, machine.device, folder or "", out]
        done = subprocess.run(
            [sys.executable, "-c", _BEFORE, *map(str, given)],
            cwd=before, env={**os.environ, "PYTHONPATH": str(before)}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            return False, f"{worst}; the code before: {(done.stderr.strip() or 'no word').splitlines()[-1]}"
        same = pd.read_parquet(out).drop(columns=list(timed)).equals(today)
    return same, f"{worst}; on this machine the code before gives {'exactly the same' if same else 'other numbers too'}"


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The book at a commit, in a folder for as long as it takes. ValueError where there is no such commit."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve() / "book"
        made = _git("worktree", "add", "--detach", str(folder), commit)
        if made.returncode:
            raise ValueError(f"no book at commit {commit!r}: {(made.stderr.strip() or 'git fails').splitlines()[-1]}")
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)


def _take_back(store: Store, run: Run, today_code: str) -> None:
    """No longer note that this code gave the record's numbers: it had agreed on fewer epochs."""
    if run.check.get("identity") == today_code:
        _note(store, run.experiment.key, None)


def _note(store: Store, key: str, check: dict | None) -> None:
    try:
        store.note_check(key, check)
    except OSError as error:
        say(f"that could not be noted in {store.folder} ({error})")


def compare(today: pd.DataFrame, recorded_rows: pd.DataFrame, histograms: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether two tables agree within the stated tolerance, and where they differ most.

    Of the columns that are ``histograms`` the running sums are compared:
    rounding may move a sample across the edge of a bin.
    """
    if set(today.columns) != set(recorded_rows.columns):
        return False, f"columns differ: {sorted(set(today.columns) ^ set(recorded_rows.columns))}"
    if len(today) != len(recorded_rows) or not len(today):
        return False, f"{len(today)} rows against {len(recorded_rows)}"
    a, b = (table[sorted(today.columns)].astype("float64").copy() for table in (today, recorded_rows))
    for table in (a, b):
        for column in histograms:
            table[column] = table[column].cumsum() / max(1, recorded_rows[column].sum())
    a, b = a.to_numpy(), b.to_numpy()
    excess = np.abs(a - b) / (ABSOLUTE + RELATIVE * np.abs(b))
    excess = np.where((np.isnan(a) & np.isnan(b)) | (a == b), 0.0, excess)
    if np.isnan(excess).any():
        return False, "one has NaN where the other has a number"
    row, column = np.unravel_index(excess.argmax(), excess.shape)
    name = sorted(today.columns)[column]
    return bool(excess.max() <= 1), f"{name} in row {row}: {a[row, column]:.6g} against {b[row, column]:.6g}"
