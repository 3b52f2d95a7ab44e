"""Finding wrong labels: seconds against cleanlab's five trainings and against plain training, memory, large data.

Alone: ``python -m tests.benchmarks.suspects [--part PART] [--images N] [--memory-images N] [--samples N]``.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from lib.data import DataConfig, load
from lib.experiments import generator
from lib.noise import symmetric
from lib.paths import ROOT, data_folder
from lib.suspects.compare import _cleanlab
from lib.suspects.early_stop import NETWORKS, Inputs, Recipe, _Training, train_until_stop
from lib.suspects.judgement import judge, take_signals
from lib.suspects.read import Labelled
from lib.suspects.tangents import TAIL
from lib.train import Machine, TrainConfig, run_epoch

IMAGES, MEMORY_IMAGES, SAMPLES = 6000, 60_000, 1_000_000
CLASSES, FEATURES, SPREAD, NOISE = 100, 256, 0.3, 0.1  # of the embeddings; centres N(0, SPREAD^2), samples N(0, 1)
PARTS = ("cleanlab", "signals", "memory", "embeddings")

PEAK = """
import sys, time, torch
from pathlib import Path
def memory(what):  # in GB; getrusage would give the parent's peak where that was higher
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024 / 1e9
"""

MNIST_MEMORY = f"""{PEAK}
from tests.benchmarks.suspects import flipped
from lib.suspects.early_stop import Recipe
from lib.suspects.judgement import judge
labelled, wrong, _ = flipped(int(sys.argv[1]))
before, begun = memory("VmRSS"), time.perf_counter()
found = judge(labelled, Recipe(device="cpu"), progress=False)
print(memory("VmHWM") - before, time.perf_counter() - begun, memory("VmHWM"), found.cost["epochs"])
"""

LARGE = f"""{PEAK}
from sklearn.metrics import average_precision_score
from tests.benchmarks.suspects import embeddings
from lib.suspects.early_stop import Recipe
from lib.suspects.judgement import judge
labelled, wrong = embeddings(int(sys.argv[1]))
before, begun = memory("VmRSS"), time.perf_counter()
found = judge(labelled, Recipe(device="cpu"), progress=False)
seconds, most = time.perf_counter() - begun, memory("VmHWM")
print(
    seconds, most, most - before, average_precision_score(wrong, 1 - found.table["label_quality"]),
    found.noise_rate.estimate, found.cost["epochs"], found.cost["signal_seconds"],
)
"""


def flipped(images: int, folder: Path | None = None):
    """MNIST with 20 % wrong labels: samples, which are wrong, and the task."""
    task = load(DataConfig("mnist", train_size=None if images >= 60_000 else images), folder)
    labels = symmetric(task.train_labels, 0.2, task.classes, generator(0, "noise"))
    labelled = Labelled(task.train_images, labels.given, task.class_names, pd.RangeIndex(len(labels.given)))
    return labelled, labels.is_noisy.numpy(), task


def embeddings(samples: int):
    """Gaussian clusters, one a class, a tenth of whose labels are another class's; made in place."""
    drawn = generator(0, "clusters")
    centres = SPREAD * torch.randn(CLASSES, FEATURES, generator=drawn)
    true = torch.arange(samples) % CLASSES
    values = torch.empty(samples, FEATURES).normal_(generator=drawn)
    for rows, classes in zip(values.split(10_000), true.split(10_000), strict=True):
        rows += centres[classes]
    labels = symmetric(true, NOISE, CLASSES, drawn)
    names = tuple(map(str, range(CLASSES)))
    return Labelled(values, labels.given, names, pd.RangeIndex(samples)), labels.is_noisy.numpy()


def cleanlab_benchmark(folder: Path, images: int = IMAGES, rounds: int = 1) -> None:
    """(a) One training and its signals against cleanlab's five folds: same network, recipe and stop."""
    from tests.benchmarks.__main__ import report, side_by_side

    labelled, wrong, _ = flipped(images, folder)
    recipe = Recipe(device="cpu")

    def network(purpose: str = "weights") -> nn.Module:
        return recipe.build(tuple(labelled.inputs.shape[1:]), len(labelled.class_names))

    times = side_by_side(
        {
            "ours": lambda: judge(labelled, recipe, progress=False),
            "cleanlab": lambda: _cleanlab(labelled, recipe, network, wrong),
        },
        rounds,
    )
    report(
        f"judging {images} MNIST labels against cleanlab's folds", times["ours"] / times["cleanlab"], " x", "<= 0.4",
        f"{times['ours']:.1f} s against {times['cleanlab']:.1f} s",
    )  # fmt: skip


def signals_benchmark(folder: Path, images: int = IMAGES, rounds: int = 5) -> None:
    """(b) The signals against one epoch, and the whole against as many epochs of plain training."""
    from tests.benchmarks.__main__ import report, side_by_side

    labelled, _, task = flipped(images, folder)
    recipe, cpu = Recipe(device="cpu"), torch.device("cpu")
    shape, classes, given = tuple(labelled.inputs.shape[1:]), len(labelled.class_names), labelled.labels
    inputs = Inputs(labelled.inputs, cpu)
    stopped = train_until_stop(recipe.build(shape, classes), inputs, given, recipe, progress=False)
    training = _Training(recipe.build(shape, classes), inputs, given, recipe)
    epochs = int(stopped.history[-1]["epoch"])
    config = TrainConfig(lr=recipe.lr, epochs=epochs, batch_size=recipe.batch(images), momentum=recipe.momentum)

    def threads(model: nn.Module):
        return Machine("cpu").cpu_threads(model, config.batch_size, labelled.inputs[0].numel())

    def epoch() -> None:
        with threads(training.model):
            training._epoch()

    def plain() -> None:
        model, order = recipe.build(shape, classes), generator(0, "order")
        optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, fused=True)
        with threads(model):
            for _ in range(epochs):
                run_epoch(model, task, given, config, optimizer, order)

    name = "MNIST, " + "x".join(map(str, NETWORKS["fcn"].widths))
    times = side_by_side(
        {"signals": lambda: take_signals(stopped.model, inputs, given, classes, TAIL, recipe), "epoch": epoch}, rounds
    )
    report(
        f"signals of {images} samples ({name}) against an epoch", times["signals"] / times["epoch"], " x", "<= 1.0",
        f"{times['signals']:.2f} s against {times['epoch']:.2f} s",
    )  # fmt: skip
    times = side_by_side({"whole": lambda: judge(labelled, recipe, progress=False), "plain": plain}, max(1, rounds - 3))
    report(
        f"judging {images} labels against {epochs} plain epochs", times["whole"] / times["plain"], " x", "<= 1.5",
        f"{times['whole']:.1f} s against {times['plain']:.1f} s",
    )  # fmt: skip


def _alone(code: str, folder: Path, count: int) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", code, str(count)],
        cwd=ROOT,
        env=os.environ | {"CLEAN_PRIORITY_DATA": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(number) for number in done.stdout.split()]


def judging_memory_benchmark(folder: Path, images: int = MEMORY_IMAGES) -> None:
    """(c) Peak memory of judging MNIST, in a process of its own."""
    from tests.benchmarks.__main__ import report

    beyond, seconds, peak, epochs = _alone(MNIST_MEMORY, folder, images)
    report(
        f"peak memory of judging {images} MNIST images", beyond, " GB", "<= 1.5",
        f"beyond the data; {peak:.2f} GB in all, {seconds:.0f} s, {epochs:.0f} epochs",
    )  # fmt: skip


def embeddings_benchmark(folder: Path, samples: int = SAMPLES) -> None:
    """(d) Embeddings, a quarter and all of them: seconds and memory, and whether they grow in proportion."""
    from tests.benchmarks.__main__ import report

    taken = {}
    for count in (samples // 4, samples):
        seconds, peak, beyond, precision, rate, epochs, of_signals = _alone(LARGE, folder, count)
        taken[count] = (seconds, epochs)
        detail = f"{CLASSES} classes, {FEATURES} features; {epochs:.0f} epochs; signals {of_signals:.0f} s"
        report(f"judging {count} embeddings", seconds / 60, " min", "< 15" if count >= SAMPLES else "", detail)
        report("… peak memory of the process", peak, " GB", "< 4", f"{beyond:.2f} GB beyond the data")
        report("… average precision", precision, "", "", f"{NOISE:.0%} wrong, estimated {rate:.1%}")
    (few, few_epochs), (many, many_epochs) = taken.values()
    report(
        "… seconds, four times as many samples", many / few, " x", "about 4",
        f"a sample's epoch: {1e6 * few / few_epochs / (samples // 4):.1f} us, "
        f"then {1e6 * many / many_epochs / samples:.1f} us",
    )  # fmt: skip


def suspects_benchmark(
    folder: Path,
    images: int = IMAGES,
    memory_images: int = MEMORY_IMAGES,
    samples: int = SAMPLES,
    parts: tuple[str, ...] = PARTS,
) -> None:
    """All of it; memory where /proc tells it."""
    if "cleanlab" in parts:
        cleanlab_benchmark(folder, images)
    if "signals" in parts:
        signals_benchmark(folder, images)
    if not Path("/proc/self/status").exists():
        print("memory and time of judging large data: measured on Linux only")
        return
    if "memory" in parts:
        judging_memory_benchmark(folder, memory_images)
    if "embeddings" in parts:
        embeddings_benchmark(folder, samples)


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="again for more; all without")
    parser.add_argument("--images", type=int, default=IMAGES, help="MNIST images that are timed")
    parser.add_argument("--memory-images", type=int, default=MEMORY_IMAGES, help="MNIST images whose memory is taken")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="embeddings")
    asked = parser.parse_args()
    suspects_benchmark(data_folder(), asked.images, asked.memory_images, asked.samples, tuple(asked.part or PARTS))
