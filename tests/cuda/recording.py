"""Runs at the paper's scale, kept as the book keeps records, all in one file that is easily carried home."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from lib.beyond.scans import DualRuns
from lib.checkpoint import until_kept
from lib.data import DataConfig
from lib.experiments import Experiment, Recordable, generator
from lib.files import atomic
from lib.models import build
from lib.observe import sample_losses
from lib.records import run_now, write_record
from lib.train import Machine
from tests.cuda.campaign import Result, Settings, Step, rates_of
from tests.cuda.pack import training_images
from tests.cuda.roofline import Rates, Work, work_of

SLOWER = 3.0  # what a whole run is taken to cost beyond its operations and bytes, until one was measured
PHOTOGRAPHS = 25_000  # of CIFAR-10


@dataclass(frozen=True)
class Unit:
    """One run and what it is for."""

    what: str
    run: Recordable
    machine: Machine
    epochs: float  # passes over the training images that it costs

    @property
    def name(self) -> str:
        """In the results."""
        return f"{self.what}, {self.run.slug}"


def image_shape(data: DataConfig, settings: Settings) -> tuple[int, int, int]:
    """Of an image."""
    return {"cifar10": (3, 32, 32), "digits": (1, 8, 8)}.get(data.name, (1, 28, 28))


def epoch_work(unit: Unit, settings: Settings) -> Work:
    """Of one epoch of plain training: forward and backward on a batch, as often as there are batches."""
    run, batch = unit.run, 64
    shape = image_shape(run.data, settings)
    # counted on the device that holds no numbers: it costs nothing
    network = build(run.model, shape, len(run.data.classes or range(10)), generator(0, "weights")).to("meta")
    images, labels = torch.empty(batch, *shape, device="meta"), torch.zeros(batch, dtype=torch.long, device="meta")
    count = run.data.train_size or {"cifar10": 50_000, "digits": 1200}.get(run.data.name, 60_000)
    if run.data.classes and not run.data.train_size:
        count *= len(run.data.classes) / 10
    return work_of(lambda: sample_losses(network(images), labels).mean().backward()).times(count / batch)


def record(settings: Settings, step: Step, units: Sequence[Unit]) -> None:
    """Make the records that are missing, in this order; each is in ``records.zip`` before the next is begun."""
    rates = rates_of(settings)
    for unit in units:
        if (held(settings) / f"{unit.run.slug}.parquet").exists():
            print(f"{unit.name:<66} done before", flush=True)
            continue
        lock = FileLock(held(settings) / f"{unit.run.key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:  # another process is at it
            continue
        with lock:
            record_one(settings, step, unit, rates)


def record_one(settings: Settings, step: Step, unit: Unit, rates: Rates) -> None:
    """One of them, where it is possible and there is time."""
    if why := not_possible(unit, settings):
        step.waiting.append(unit.name)
        print(f"{unit.name:<66} waits: {why}", flush=True)
        return
    expected = expectation(unit, settings, rates)
    step.measure(unit.name, lambda: recorded(unit, settings), expected=expected, takes=longer(step, unit, expected))


def held(settings: Settings) -> Path:
    """Where records lie one by one until all are carried home."""
    folder = settings.data / "campaign"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def not_possible(unit: Unit, settings: Settings) -> str:
    """Why a run cannot be made here, if so: the half of CIFAR-10 that is carried is the draw of seed 0."""
    data = unit.run.data
    if data.name != "cifar10" or settings.dry:
        return ""
    there = training_images(settings.data, data.name)
    if there >= 50_000 or (unit.run.seed == 0 and data.train_size == there and getattr(unit.run, "seeds", 1) == 1):
        return ""
    return f"{there} images of CIFAR-10 are there, and this seed draws others"


def expectation(unit: Unit, settings: Settings, rates: Rates) -> float:
    """Seconds of all epochs by operations and bytes."""
    precision = getattr(getattr(unit.run, "train", None), "precision", "float32")
    if precision == "float32" and settings.tf32:
        precision = "tf32"
    return unit.epochs * epoch_work(unit, settings).seconds(rates, precision)


def longer(step: Step, unit: Unit, expected: float) -> float:
    """Seconds a run will really take: as much longer than expected as the last one of its sort took."""
    if step.settings.dry:
        return 0.0
    shares = [r["share"] for name, r in step.results.items() if name.startswith(f"{unit.what},") and r.get("share")]
    takes = expected / shares[-1] if shares else SLOWER * expected
    # what goes on from where it was cut off is begun while there is time for a part of it
    if isinstance(unit.run, Experiment):
        return min(takes, 60.0)
    return takes / len(unit.run.blocks()) if isinstance(unit.run, DualRuns) else takes


def recorded(unit: Unit, settings: Settings) -> Result:
    """Run it and add it to the records."""
    with until_kept():
        run = run_now(unit.run, machine=unit.machine, folder=settings.data, resume=True, progress=False)
        write_record(held(settings) / f"{unit.run.slug}.parquet", run.history, run.provenance)
    carry(settings)
    last = run.history.iloc[-1]
    shown = ("epoch", "train_error", "clean_error", "noisy_error", "test_error", "average_precision", "growth")
    return {"seconds": run.provenance["seconds"], "rows": len(run.history)} | {
        name: float(last[name]) for name in shown if name in run.history.columns
    }


def carry(settings: Settings) -> None:
    """All records so far in one zip file, which is replaced whole."""
    folder = held(settings)
    lock, whole = FileLock(folder / "zip.lock"), atomic(settings.out / "records.zip")
    with lock, whole as part, zipfile.ZipFile(part, "w") as written:
        for path in sorted(folder.glob("*.parquet")):
            written.write(path, path.name)


def half(data: DataConfig) -> DataConfig:
    """CIFAR-10 with as many images as are carried."""
    return replace(data, train_size=PHOTOGRAPHS) if data.name == "cifar10" else data
