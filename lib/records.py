"""Run once, replay for ever.

A record is one Parquet file: the history of one experiment, a row an epoch,
with its provenance (settings, device, date, seconds, versions, identity of the
code) in the file's metadata, so that the two are never apart. It is found by
the experiment's key alone and replaced only when it is recorded afresh; ``checks.json`` beside the
records says which code later gave the same numbers. Records of the book lie in
``book/records``; a reader's own runs in ``<data folder>/records``.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from . import experiments
from .checkpoint import until_kept
from .experiments import Recordable
from .files import atomic, set_aside, whole_files
from .observe import Row
from .paths import RECORDS, data_folder
from .progress import say
from .provenance import commit, provenance_of
from .runs import Run, Runs, code_of
from .train import Machine

NO_NUMBERS = True
MODES = ("", "record", "replay", "plan")
# "record": new runs go into the book's records; "replay": no new runs; "plan": Planned tells what is wanted
MODE_VARIABLE = "CLEAN_PRIORITY_MODE"
PROVENANCE = b"provenance"
CHECKS = "checks.json"
# bytes of like weight beside each other: a fifth smaller than values as they come
PACKED = {
    "compression": "zstd", "compression_level": 15, "use_dictionary": False, "use_byte_stream_split": True,
    "write_statistics": False,  # a seventh of a small file, for readers that skip parts of large ones
}  # fmt: skip

# What is recorded: kind, and where its class is. Read when one must be run; replaying needs none of them.
KINDS = {
    "": "experiments:Experiment",
    "early gradients": "paper.early_gradients:EarlyGradients",
    "angles": "paper.angles:StartAngles",
    "circle": "paper.angles:CircleAngles",
    "pairs": "paper.angles:PairAngles",
    "batches": "paper.angles:BatchDirections",
    "angles in training": "paper.in_training:AnglesInTraining",
    "batches in training": "paper.in_training:BatchesInTraining",
    "identities": "paper.identities:Identities",
    "kernel": "paper.kernels:KernelMachine",
    "balanced kernel": "paper.balanced:BalancedKernelMachine",
    "scan": "beyond.scans:DualScan",
    "path": "beyond.scans:DualPath",
    "selective": "beyond.penalties:SelectiveTraining",
    "long selective": "beyond.long_selective:LongSelective",
    "renamed": "beyond.renamed:RenamedTraining",
    "earlier": "beyond.earlier:EarlierResNet",
    "suspects": "suspects.compare:FindWrongLabels",
    "stopping": "suspects.stop_rules:StopRules",
    "published": "suspects.published:PublishedSuspects",
    "human training": "suspects.human:HumanTraining",
    "human finders": "suspects.human:HumanFinders",
    "human margins": "suspects.human_heads:HumanMargins",
    "human correction": "suspects.human_heads:HumanCorrection",
}


class RecordDamaged(RuntimeError):
    """A record is truncated, altered or half written."""


class NotRecorded(RuntimeError):
    """A run was wanted that has no record, where nothing may be trained."""


class Planned(Exception):
    """In mode "plan", in place of any run: ``groups`` of experiments that were asked for."""

    def __init__(self, groups: Mapping[str, Sequence[Recordable]]) -> None:
        super().__init__(f"{sum(map(len, groups.values()))} runs were asked for")
        self.groups = groups


class RecordingFailed(RuntimeError):
    """A finished run could not be written; what was recorded before is intact."""


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
            history, provenance = read_record(path)
            if provenance["key"] != experiment.key:
                raise RecordDamaged(f"{path} holds the run {provenance['key']}, not {experiment.key}")
        except RecordDamaged as damage:
            say(f"{damage}. It was {set_aside(path)}; the run is made anew.")
            return None
        return Run(experiment, history, provenance, check=self.check(experiment.key, provenance["date"]))

    def check(self, key: str, since: str = "") -> Mapping[str, Any]:
        """Which code was last seen to give a record's numbers, and when; empty where nobody looked.

        ``identity``, ``date``, ``device``; ``made``: that code made them; ``of``: the date of the record. ``since``:
        that date; a check of another record, as a merge of two histories may leave, counts for nothing, nor does an
        earlier one that does not say.
        """
        check = _checks(self.folder / CHECKS).get(key, {})
        ours = check["of"] == since if "of" in check and since else check.get("date", "") >= since
        return check if ours else {}

    def note_check(self, key: str, check: Mapping[str, Any] | None) -> None:
        """Note what today's code gave, or None for no longer what was noted. Processes may do so side by side."""
        path = self.folder / CHECKS
        with FileLock(self.folder / f".{CHECKS}.lock"):
            checks = {name: one for name, one in _checks(path).items() if name != key}
            checks |= {key: dict(check)} if check else {}
            lines = (f'"{key}": {json.dumps(checks[key], sort_keys=True)}' for key in sorted(checks))
            with atomic(path) as part:  # a line a record
                part.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def run(self, path: Path) -> Run:
        """The record in a file of this folder. RecordDamaged if anything in it was altered, or cannot be meant here."""
        history, provenance = read_record(path)
        try:
            experiment = experiment_from(provenance["settings"], provenance.get("kind", ""))
        except (ValueError, TypeError, KeyError) as error:
            raise RecordDamaged(f"{path} is of another version of the book ({error})") from error
        if experiment.key != provenance["key"]:
            raise RecordDamaged(f"{path} has settings that this version of the book does not know")
        return Run(experiment, history, provenance, check=self.check(provenance["key"], provenance["date"]))

    def put(self, run: Run) -> None:
        """Write or replace a record whole. RecordingFailed on a full disk, with the old record intact."""
        write_record(self.path(run.experiment), run.history, run.provenance)
        try:
            if self.check(run.experiment.key):  # it was of the numbers before
                self.note_check(run.experiment.key, None)
        except OSError as error:
            raise RecordingFailed(f"{CHECKS} could not be written ({error}); the record is there") from error

    def runs(self) -> Iterator[tuple[Path, Run]]:
        """All records that are whole; of one that is not, or lies under another run's name, a line is said."""
        for path in self.paths():
            try:
                run = self.run(path)
            except RecordDamaged as damage:
                say(f"left out: {damage}")
                continue
            if path.stem == run.experiment.slug:
                yield path, run
            else:
                say(f"left out: {path} is a copy of {run.experiment.slug}")

    def paths(self) -> list[Path]:
        """All records in this folder."""
        return whole_files(self.folder, "*.parquet")


def _checks(path: Path) -> dict[str, dict[str, Any]]:
    try:
        state = path.stat()
    except FileNotFoundError:
        return {}
    return _checks_as_of(path, state.st_mtime_ns, state.st_size)


@cache
def _checks_as_of(path: Path, changed: int, size: int) -> dict[str, dict[str, Any]]:
    """Read again when the file was changed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
            raise ValueError("no table of checks")
        return found
    except ValueError as error:
        if path.parent == RECORDS:
            raise RecordDamaged(f"{path} is damaged ({error}): take it from the book's repository again") from error
        say(f"{path} is damaged ({error}); it was {set_aside(path)}, and nothing counts as checked")
        return {}


def write_record(path: Path, history: pd.DataFrame, provenance: dict[str, Any]) -> None:
    """Write a record whole, sealed by a checksum over history and provenance."""
    sealed = provenance | {"digest": _digest(history, provenance)}
    table = pa.Table.from_pandas(history, preserve_index=False).replace_schema_metadata(
        {PROVENANCE: json.dumps(sealed, sort_keys=True).encode()}
    )
    try:
        with atomic(path) as part:
            pq.write_table(table, part, **PACKED)
    except OSError as error:
        raise RecordingFailed(
            f"{path.name} could not be written ({error}); nothing that stood there was changed"
        ) from error


def read_record(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """History and provenance; RecordDamaged if anything in the file was altered.

    OSError where it cannot be read at all: that says nothing about what is in it.
    """
    content = path.read_bytes()
    try:
        table = pq.read_table(pa.BufferReader(content))
        provenance = json.loads(table.schema.metadata[PROVENANCE])
        digest = provenance.pop("digest")
        history = table.replace_schema_metadata(None).to_pandas()
        found = _digest(history, provenance)
    except MemoryError:  # Arrow has one that is an ArrowException too
        raise
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
    if mode == "plan":
        raise Planned(groups)
    machine.resolve()
    look, done = keep and not fresh, {}
    for group in groups.values():
        for experiment in group:
            experiment.validate()
            code_of(experiment)  # now, while the files are what was imported: a recording can take hours
            if look and experiment.key not in done and (found := _recorded(experiment, folder)):
                done[experiment.key] = found
        missing = [one for one in group if one.key not in done]
        if missing:
            commit()  # now, too
        if mode != "replay":
            experiments.preflight(missing, machine, folder)
    for experiment in (one for group in groups.values() for one in group):
        if experiment.key not in done:
            done[experiment.key] = _obtain(experiment, mode, look, keep, machine, folder, progress)
    for run in done.values() if keep and mode == "record" else ():
        if not Store(RECORDS).has(run.experiment):
            Store(RECORDS).put(run)  # what a reader's own store held
    return {name: Runs(done[experiment.key] for experiment in group) for name, group in groups.items()}


def _obtain(
    experiment: Recordable,
    mode: str,
    look: bool,
    keep: bool,
    machine: Machine,
    folder: str | Path | None,
    progress: bool,
) -> Run:
    """The run of an experiment that had no record at first: another process may have made one since."""
    if look and (found := _recorded(experiment, folder)):
        return found
    if keep and mode == "replay":
        raise NotRecorded(f"{experiment.slug} has no record")
    store = Store(RECORDS if mode == "record" else data_folder(folder) / "records")
    try:
        with until_kept():
            found = run_now(experiment, machine=machine, folder=folder, resume=keep, progress=progress)
            if keep:
                store.put(found)
    except RecordingFailed as failure:
        if mode == "record":  # recording was the purpose
            raise
        say(f"{failure}. The run goes on without a record.")
    return found


def _recorded(experiment: Recordable, folder: str | Path | None) -> Run | None:
    return Store(RECORDS).get(experiment) or Store(data_folder(folder) / "records").get(experiment)


def recorded(wanted: Iterable[Recordable], folder: str | Path | None = None) -> bool:
    """Whether each of these experiments has a record that is whole: what is not would be run instead."""
    return all(_recorded(experiment, folder) for experiment in wanted)


def run_now(
    experiment: Recordable,
    *,
    machine: Machine = Machine(),
    folder: str | Path | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Run:
    """Run one experiment now and say where the numbers come from."""
    made_by = code_of(experiment).id
    with machine.card():
        outcome = experiment.run(machine=machine, folder=folder, resume=resume, made_by=made_by, progress=progress)
    return Run(experiment, history_frame(outcome.history), provenance_of(experiment, machine, outcome), live=True)


def kind_of(name: str) -> type[Recordable]:
    """The class of a kind; ValueError names what there is."""
    if name not in KINDS:
        raise ValueError(f"unknown kind of record {name!r}; there are: {', '.join(filter(None, KINDS))}")
    module, _, made = KINDS[name].partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), made)


def experiment_from(settings: Mapping[str, Any], kind: str = "") -> Recordable:
    """The experiment of this kind whose `as_dict` these settings are."""
    return _made(kind_of(kind), settings)


def _made(kind: type, settings: Mapping[str, Any]) -> Any:
    """A dataclass of its settings; one whose fields all have defaults is made of none."""
    types, values = get_type_hints(kind), {}
    for item in fields(kind):
        if is_dataclass(types[item.name]):
            values[item.name] = _made(types[item.name], settings.get(item.name, {}))
        elif item.name in settings:
            values[item.name] = _as_tuple(settings[item.name])
    return kind(**values)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
