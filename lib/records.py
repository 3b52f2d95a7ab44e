"""Run once, replay for ever.

A record is one Parquet file: the history of one experiment, a row an epoch,
with its provenance (settings, device, date, seconds, versions, code) in the
file's metadata, so that the two are never apart and are replaced together.
It is found by the experiment's key alone. Records of the book lie in
``book/records``; a reader's own runs in ``<data folder>/records``.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import lib
from lib import angles, comparison, derivatives, dual_gradient, experiments, kernels, published, stopped, stopping
from lib.experiments import Experiment, Recordable, as_dict
from lib.files import atomic, move_aside
from lib.observe import Row
from lib.paths import RECORDS, ROOT, data_folder
from lib.progress import say
from lib.stamps import code_hash, code_id, processor
from lib.train import Machine

MODES = ("", "record", "replay")
MODE_VARIABLE = "CLEAN_PRIORITY_MODE"  # "record": new runs go into the book's records; "replay": no new runs
PROVENANCE = b"provenance"

# Two trainings of the same code on different processors drift apart by rounding. Over the first
# few epochs they stay within this much of each other: |a - b| <= ABSOLUTE + RELATIVE * |b|.
RELATIVE, ABSOLUTE = 5e-3, 2e-3


class RecordDamaged(RuntimeError):
    """A record is truncated, altered or half written."""


class NotRecorded(RuntimeError):
    """A run was wanted that has no record, where nothing may be trained."""


class RecordingFailed(RuntimeError):
    """A finished run could not be written; what was recorded before is intact."""


@dataclass(frozen=True)
class Run:
    """A history and where it comes from.

    ``history``: one row an epoch, the columns of `lib.observe`. ``provenance``
    holds settings, key, device, threads, date, seconds, versions, code hashes
    and checks. ``live``: trained in this process rather than read.
    """

    experiment: Recordable
    history: pd.DataFrame
    provenance: dict[str, Any]
    live: bool = False

    @property
    def state(self) -> str:
        """ "today's code", "checked by today's code" or "older code"."""
        today = code_hashes(self.experiment.rooms)
        if self.provenance["code"] == today:
            return "today's code"
        if any(check["code"] == today for check in self.provenance["checks"]):
            return "checked by today's code"
        return "older code"

    @property
    def early_stop(self) -> int:
        """The epoch of least test error, the first of several: the paper's early stopping point."""
        return int(self.history.loc[self.history["test_error"].idxmin(), "epoch"])

    def at(self, epoch: int) -> pd.Series:
        """The row of one epoch."""
        return self.history.set_index("epoch").loc[epoch]

    def until_stop(self, column: str) -> np.ndarray:
        """A column from the start to the early stop."""
        return self.history.loc[self.history["epoch"] <= self.early_stop, column].to_numpy()

    def after_stop(self, column: str) -> np.ndarray:
        """A column from the early stop to the end."""
        return self.history.loc[self.history["epoch"] >= self.early_stop, column].to_numpy()


class Runs(Sequence[Run]):
    """The runs of one experiment over several seeds."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)

    def __getitem__(self, index):
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [run.experiment.seed for run in self]

    @property
    def table(self) -> pd.DataFrame:
        """All histories below each other, with a column ``seed``."""
        return pd.concat([run.history.assign(seed=run.experiment.seed) for run in self], ignore_index=True)

    def wide(self, column: str) -> pd.DataFrame:
        """One column of the histories: a row an epoch, a column a seed."""
        return self.table.pivot(index="epoch", columns="seed", values=column)

    @property
    def early_stops(self) -> np.ndarray:
        """The early stopping epoch of each run."""
        return np.array([run.early_stop for run in self])

    def at_early_stop(self, column: str) -> np.ndarray:
        """The value of a column at each run's early stop."""
        return np.array([run.at(run.early_stop)[column] for run in self])

    def until(self, epoch: int) -> "Runs":
        """The same runs, cut after an epoch: without a schedule that is what a shorter training gives."""
        return Runs(replace(run, history=run.history[run.history["epoch"] <= epoch]) for run in self)

    def each(self, measure: Callable[[Run], float]) -> list[float]:
        """A number for each run."""
        return [float(measure(run)) for run in self]

    def provenance_line(self) -> str:
        """Where these numbers come from, in a line."""
        seconds = sum(run.provenance["seconds"] for run in self)
        took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        devices = _join({run.provenance["device"] for run in self})
        dates = sorted({run.provenance["date"][:10] for run in self})
        when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        code = _join({run.provenance["code_id"] for run in self})
        states = _join({run.state for run in self})
        lives = {run.live for run in self}
        how = {(True,): "Trained live", (False,): "Recorded"}.get(tuple(lives), "Trained live and recorded")
        seeds = sum(getattr(run.experiment, "seeds", 1) for run in self)
        return f"{how} on {devices}, {when}; {count(seeds, 'seed')}, {took} in all; code {code} ({states})"


def count(number: int, thing: str) -> str:
    """A number of things in words: 1 seed, 2 seeds."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _join(words: set[str]) -> str:
    return " and ".join(sorted(words))


@cache
def code_hashes(rooms: tuple[str, ...] = experiments.ROOMS) -> dict[str, str]:
    """A hash of each room that the numbers depend on: of what it does, not how it is laid out."""
    return {room: _hash_of(room) for room in rooms}


@cache
def _hash_of(room: str) -> str:
    return code_hash((ROOT / "lib" / f"{room}.py").read_text())


class Store:
    """A folder of records."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, experiment: Recordable) -> Path:
        """Where the record of an experiment is, or would be."""
        return self.folder / f"{experiment.slug}.parquet"

    def has(self, experiment: Recordable) -> bool:
        """Whether there is a file for this experiment."""
        return self.path(experiment).exists()

    def get(self, experiment: Recordable) -> Run | None:
        """The record of this experiment, or None. A damaged one is moved aside, said so, and counts as none."""
        path = self.path(experiment)
        if not path.exists():
            return None
        try:
            history, provenance = read(path)
            if provenance["key"] != experiment.key:
                raise RecordDamaged(f"{path} holds the run {provenance['key']}, not {experiment.key}")
        except RecordDamaged as damage:
            aside = move_aside(path)
            say(f"{damage}. It was moved to {aside.name}; the run is made anew.")
            return None
        return Run(experiment, history, provenance)

    def put(self, run: Run) -> None:
        """Write or replace a record whole. RecordingFailed on a full disk, with the old record intact."""
        write(self.path(run.experiment), run.history, run.provenance)

    def paths(self) -> list[Path]:
        """All records in this folder."""
        return sorted(path for path in self.folder.glob("*.parquet") if not path.name.startswith("."))


def write(path: Path, history: pd.DataFrame, provenance: dict[str, Any]) -> None:
    """Write a record whole, sealed by a checksum over history and provenance."""
    sealed = provenance | {"digest": _digest(history, provenance)}
    table = pa.Table.from_pandas(history, preserve_index=False).replace_schema_metadata(
        {PROVENANCE: json.dumps(sealed, sort_keys=True).encode()}
    )
    try:
        with atomic(path) as part:
            pq.write_table(table, part, compression="zstd")
    except OSError as error:
        raise RecordingFailed(
            f"{path.name} could not be written ({error}); nothing that stood there was changed"
        ) from error


def read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """History and provenance; RecordDamaged if anything in the file was altered."""
    try:
        table = pq.read_table(path)
        provenance = json.loads(table.schema.metadata[PROVENANCE])
        digest = provenance.pop("digest")
        history = table.replace_schema_metadata(None).to_pandas()
        found = _digest(history, provenance)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise RecordDamaged(f"{path.name} is damaged ({type(error).__name__})") from error
    if found != digest:
        raise RecordDamaged(f"{path.name} was altered: its checksum does not fit")
    return history, provenance


def _digest(history: pd.DataFrame, provenance: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(provenance, sort_keys=True).encode())
    for name in history.columns:
        values = history[name].to_numpy()
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values)  # of the many NaNs, Parquet gives one back
        digest.update(f"{name}:{values.dtype.str}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def history_frame(rows: list[Row]) -> pd.DataFrame:
    """Rows as a table: integers as int64, all else as float64."""
    frame = pd.DataFrame(rows)
    return frame.astype({name: "int64" if kind.kind in "iu" else "float64" for name, kind in frame.dtypes.items()})


def obtain(
    wanted: Sequence[Recordable],
    *,
    fresh: bool = False,
    keep: bool = True,
    machine: Machine = Machine(),
    folder: str | Path | None = None,
    progress: bool = True,
) -> Runs:
    """The runs of these experiments: read where recorded, trained where not.

    ``fresh`` trains all of them anew; ``keep=False`` neither reads nor writes
    records. New runs go into the reader's own store. The environment variable
    CLEAN_PRIORITY_MODE changes that: "record" puts them into the book's,
    "replay" raises NotRecorded in place of training what should be recorded.
    """
    return obtain_groups({"": wanted}, fresh=fresh, keep=keep, machine=machine, folder=folder, progress=progress)[""]


def obtain_groups(
    groups: Mapping[str, Sequence[Recordable]],
    *,
    fresh: bool = False,
    keep: bool = True,
    machine: Machine = Machine(),
    folder: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Runs]:
    """`obtain` for several groups at once: all of them are checked before the first run is trained.

    What stands in two groups is run once.
    """
    mode = os.environ.get(MODE_VARIABLE, "")
    if mode not in MODES:
        raise ValueError(f"{MODE_VARIABLE} is {mode!r}; allowed: {', '.join(map(repr, MODES))}")
    machine.resolve()
    for group in groups.values():
        for experiment in group:
            experiment.validate()
        missing = [one for one in group if fresh or not keep or not recorded([one], folder)]
        if mode != "replay":
            experiments.preflight(missing, machine, folder)
    settings = {"fresh": fresh, "keep": keep, "machine": machine, "folder": folder, "progress": progress}
    done: dict[str, Run] = {}
    for group in groups.values():
        new = {experiment.key: experiment for experiment in group if experiment.key not in done}
        done |= zip(new, _obtain(list(new.values()), mode, **settings), strict=True)
    return {name: Runs(done[experiment.key] for experiment in group) for name, group in groups.items()}


def _obtain(
    wanted: Sequence[Recordable],
    mode: str,
    fresh: bool,
    keep: bool,
    machine: Machine,
    folder: str | Path | None,
    progress: bool,
) -> Runs:
    book, own = Store(RECORDS), Store(data_folder(folder) / "records")
    runs = []
    for experiment in wanted:
        found = None if fresh or not keep else book.get(experiment) or own.get(experiment)
        if found is None:
            if keep and mode == "replay":
                raise NotRecorded(f"{experiment.slug} has no record")
            found = train(experiment, machine=machine, folder=folder, resume=keep, progress=progress)
            if keep and mode != "record":
                _keep(own, found)
        if keep and mode == "record" and (found.live or not book.has(experiment)):
            _keep(book, found)  # also what a reader's own store held
        runs.append(found)
    return Runs(runs)


def recorded(wanted: Iterable[Recordable], folder: str | Path | None = None) -> bool:
    """Whether each of these experiments has a record."""
    stores = (Store(RECORDS), Store(data_folder(folder) / "records"))
    return all(any(store.has(experiment) for store in stores) for experiment in wanted)


def _keep(store: Store, run: Run) -> None:
    try:
        store.put(run)
    except RecordingFailed as failure:
        if store.folder == RECORDS:  # recording was the purpose
            raise
        say(f"{failure}. The run goes on without a record.")


def train(
    experiment: Recordable,
    *,
    machine: Machine = Machine(),
    folder: str | Path | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Run:
    """Run one experiment now and say where the numbers come from."""
    made_by = code_id(code_hashes(experiment.rooms))
    outcome = experiment.run(machine=machine, folder=folder, resume=resume, made_by=made_by, progress=progress)
    return Run(experiment, history_frame(outcome.history), _provenance(experiment, machine, outcome), live=True)


def _provenance(experiment: Recordable, machine: Machine, outcome: experiments.Outcome) -> dict[str, Any]:
    hashes = code_hashes(experiment.rooms)
    return {
        "key": experiment.key,
        "kind": experiment.kind,
        "settings": as_dict(experiment),
        "device": device_name(machine.resolve(), outcome.threads),
        "compile": machine.compile,
        "channels_last": machine.channels_last,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(outcome.seconds, 1),
        "versions": {
            "book": lib.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "code": hashes,
        "code_id": code_id(hashes),
        "commit": _commit(),
        "checks": [],
    }


def device_name(device: torch.device, threads: int) -> str:
    """A name to print: the card's, or the processor's with the threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()} CPU ({count(threads, 'thread')})"


@cache
def _commit() -> str | None:
    """The commit of this checkout, with "-dirty" if files differ from it; None where there is no git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


KINDS = {
    one.kind: one
    for one in (
        Experiment, *angles.MEASUREMENTS, kernels.KernelMachine, *dual_gradient.MEASUREMENTS,
        derivatives.SelectiveTraining, comparison.FindWrongLabels, stopping.StopRules, published.PublishedSuspects,
    )
}  # fmt: skip
PARTS = {name: getattr(experiments, f"{name.title()}Config") for name in ("data", "noise", "model", "train", "observe")}
PARTS["dual"] = dual_gradient.DualConfig
PARTS["recipe"] = stopped.Recipe


def experiment_from(settings: dict[str, Any], kind: str = "") -> Recordable:
    """The experiment of this kind whose `as_dict` these settings are."""
    made = KINDS[kind]
    values = {}
    for item in fields(made):
        value = settings.get(item.name, {} if item.name in PARTS else None)
        if item.name in PARTS:
            values[item.name] = PARTS[item.name](**{name: _as_tuple(part) for name, part in value.items()})
        elif item.name in settings:
            values[item.name] = _as_tuple(value)
    return made(**values)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Verification:
    """Outcome of running the first part of a record again."""

    path: Path
    rows: int
    agrees: bool
    worst: str  # the column that differs most, and by how much


def verify(
    path: Path, *, epochs: int = 2, machine: Machine = Machine(), folder: str | Path | None = None
) -> Verification:
    """Run the first part of a record again; where they agree, stamp it as checked by today's code.

    The first part of a training is its first ``epochs``; `Recordable.short` says what it is of others.

    Agreement: every number within ABSOLUTE + RELATIVE times its recorded
    value. The numbers in the record are never changed.
    """
    history, provenance = read(path)
    experiment = experiment_from(provenance["settings"], provenance.get("kind", ""))
    outcome = experiment.short(epochs).run(machine=machine, folder=folder, resume=False, made_by="", progress=False)
    today = history_frame(outcome.history)
    timed = list(getattr(experiment, "timed", ()))
    agrees, worst = compare(
        today.drop(columns=timed), history.head(len(today)).drop(columns=timed), getattr(experiment, "counts", ())
    )
    if agrees and Run(experiment, history, provenance).state == "older code":
        stamp = {
            "code": code_hashes(experiment.rooms),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": device_name(machine.resolve(), outcome.threads),
            "rows": len(today),
            "worst": worst,
        }
        write(path, history, provenance | {"checks": [*provenance["checks"], stamp]})
    return Verification(path, len(today), agrees, worst)


def compare(today: pd.DataFrame, recorded_rows: pd.DataFrame, histograms: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether two tables agree within the stated tolerance, and where they differ most.

    Of the columns that are ``histograms`` the running sums are compared:
    rounding may move a sample across the edge of a bin.
    """
    if set(today.columns) != set(recorded_rows.columns):
        return False, f"columns differ: {sorted(set(today.columns) ^ set(recorded_rows.columns))}"
    a, b = (table[sorted(today.columns)].astype("float64").copy() for table in (today, recorded_rows))
    for table in (a, b):
        for column in histograms:
            table[column] = table[column].cumsum() / max(1, recorded_rows[column].sum())
    a, b = a.to_numpy(), b.to_numpy()
    excess = np.abs(a - b) / (ABSOLUTE + RELATIVE * np.abs(b))
    excess = np.where(np.isnan(a) & np.isnan(b), 0.0, excess)
    if np.isnan(excess).any():
        return False, "one has NaN where the other has a number"
    row, column = np.unravel_index(excess.argmax(), excess.shape)
    name = sorted(today.columns)[column]
    return bool(excess.max() <= 1), f"{name} in row {row}: {a[row, column]:.6g} against {b[row, column]:.6g}"


for _kind in KINDS.values():  # now, while the files are what was imported: a recording can take hours
    code_hashes(_kind.rooms)
_commit()
