"""Speed and memory as ratios, both sides in one run: ``make bench``.

Uses MNIST where it is in the data folder, else random images of the same
number and shape (the work is the same). Nothing here is asserted by a test.
"""

import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from lib import experiments
from lib.beyond import presets as beyond_presets
from lib.beyond import scans, two_gradients
from lib.beyond.replicas import Single
from lib.data import DataConfig
from lib.experiments import Experiment, generator, prepare
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.observe import ObserveConfig
from lib.paper import presets
from lib.paths import ROOT, data_folder
from lib.train import TrainConfig, run_epoch
from tests.benchmarks.dataloader_epoch import DataLoaderEpoch, fully_connected, padded_cnn
from tests.benchmarks.derivatives import derivatives_benchmark
from tests.benchmarks.playground import playground_benchmark
from tests.benchmarks.suspects import suspects_benchmark
from tests.benchmarks.sweep import sweep_benchmark

PAPER = Experiment(
    DataConfig("mnist", classes=(7, 9)),
    NoiseConfig(0.4),
    ModelConfig((512, 512)),
    TrainConfig(lr=0.1, epochs=2),
    ObserveConfig(truth=True, tangent_images=16, watched=24),
)


def side_by_side(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each side; they take turns, so that what else the machine does hits all alike."""
    for run in sides.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            begun = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begun)
    return {name: float(np.median(values)) for name, values in times.items()}


def report(what: str, value: float, unit: str, goal: str, detail: str) -> None:
    print(f"{what:<58} {value:8.2f}{unit}   goal {goal:<8} {detail}", flush=True)


SIZES = {  # images of each digit in MNIST
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "t10k": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}


def random_mnist(folder: Path) -> None:
    """Files like MNIST's, with random images and as many of each digit."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix, sizes in SIZES.items():
        labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), sizes))
        images = rng.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels.tobytes())


def step_products(widths=(784, 512, 512, 1), batch=256) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Operands of every matrix product in a training step: outputs, weight gradients, gradients of hidden inputs."""
    products = []
    for depth, (a, b) in enumerate(pairwise(widths)):
        x, w, d = torch.randn(batch, a), torch.randn(b, a), torch.randn(batch, b)
        products += [(x, w.T), (d.T, x)] + ([(d, w)] if depth else [])
    return products


def epoch_benchmarks(folder: Path) -> None:
    ready = prepare(PAPER, folder=folder)
    n, batch = len(ready.labels.given), PAPER.train.batch_size
    optimizer = torch.optim.SGD(ready.model.parameters(), lr=0.1, fused=True)
    order = generator(0, "order")

    def training() -> None:
        run_epoch(ready.model, ready.task, ready.labels.given, PAPER.train, optimizer, order)

    plain = prepare(replace(PAPER, observe=ObserveConfig()), folder=folder).observer
    everything = ready.observer
    other = DataLoaderEpoch(folder, fully_connected(), (7, 9), noise_rate=0.4, batch_size=256)

    times = side_by_side(
        {"ours": lambda: (training(), everything(ready.model)), "DataLoader": other.run}, rounds=3
    )  # fmt: skip
    report(
        "epoch with every observable against a DataLoader's epoch", times["DataLoader"] / times["ours"], " x", ">= 8",
        f"{times['ours']:.2f} s against {times['DataLoader']:.2f} s",
    )  # fmt: skip

    products = step_products(batch=batch)
    flop = sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b in products) * n / batch
    square = torch.randn(2048, 2048)

    def same_products() -> None:
        for _ in range(round(n / batch)):
            for a, b in products:
                a @ b

    def square_products() -> None:
        for _ in range(round(flop / (2 * 2048**3))):
            square @ square

    times = side_by_side(
        {
            "training": training,
            "same": same_products,
            "square": square_products,
            "observing": lambda: plain(ready.model),
            "everything": lambda: everything(ready.model),
        },
        rounds=9,
    )
    rates = {name: flop / times[name] / 1e9 for name in ("training", "same", "square")}
    report(
        "training: share of the same products' rate", 100 * rates["training"] / rates["same"], " %", ">= 60",
        f"{rates['training']:.0f} of {rates['same']:.0f} GFLOP/s, {times['training']:.2f} s an epoch",
    )  # fmt: skip
    report(
        "training: share of large square products' rate", 100 * rates["training"] / rates["square"], " %", "",
        f"{rates['training']:.0f} of {rates['square']:.0f} GFLOP/s",
    )  # fmt: skip
    report(
        "observing (errors, losses, residuals, subset gradients)", times["observing"] / times["training"], " x",
        "<= 1.2", f"{times['observing']:.2f} s against {times['training']:.2f} s of training",
    )  # fmt: skip
    report(
        "… with true-label gradients and tangents of 16 images", times["everything"] / times["training"], " x", "",
        f"{times['everything']:.2f} s",
    )  # fmt: skip


def cnn_benchmark(folder: Path) -> None:
    """The paper's CNN on 6,000 images, with exact subset gradients, against the earlier notebook's, without."""
    mnist = presets.mnist("cpu")
    experiment = replace(mnist, data=DataConfig("mnist", train_size=6000), observe=ObserveConfig())
    ready = prepare(experiment, folder=folder)
    optimizer = torch.optim.SGD(ready.model.parameters(), lr=0.02, momentum=0.9, fused=True)
    order = generator(0, "order")

    def ours() -> None:
        run_epoch(ready.model, ready.task, ready.labels.given, experiment.train, optimizer, order)
        ready.observer(ready.model)

    other = DataLoaderEpoch(folder, padded_cnn(), tuple(range(10)), noise_rate=0.3, batch_size=128, limit=6000)
    times = side_by_side({"ours": ours, "DataLoader": other.run}, rounds=3)
    report(
        "CNN epoch with subset gradients against one without", times["DataLoader"] / times["ours"], " x", ">= 1.3",
        f"{times['ours']:.1f} s against {times['DataLoader']:.1f} s",
    )  # fmt: skip


def replicas_benchmark() -> None:
    """32 small networks through the mixed step, at once and one after the other as ordinary modules."""
    mixes = tuple(k / 31 for k in range(32))
    scan = replace(beyond_presets.two_gradients("smoke"), mixes=mixes, epochs=1, milestones=())
    members, cpu = scan.members(0), torch.device("cpu")

    def at_once() -> None:
        two_gradients.follow(scans.start(scan, members, cpu), members, scan.stages)

    def singly() -> None:
        task = experiments.load(scan.data)
        for member in members:
            (network,) = scans.networks_of(scan, [member], task)
            samples = two_gradients.Samples({member.seed: task}, [member], scan.dual, scan.pool, scan.augment)
            two_gradients.follow(two_gradients.Dual(Single(network), scan.dual, samples), [member], scan.stages)

    times = side_by_side({"together": at_once, "singly": singly}, rounds=3)
    report(
        "32 small networks trained together against one by one", times["singly"] / times["together"], " x", ">= 5",
        f"{times['together']:.2f} s against {times['singly']:.2f} s an epoch",
    )  # fmt: skip


PEAK = """
import sys, torch
from pathlib import Path
from dataclasses import replace
def peak():  # in GiB; getrusage would give the parent's peak where that was higher
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
"""

ANGLES_MEMORY = f"""{PEAK}
from lib.beyond import presets as beyond_presets
from lib.paper import presets
from lib.paper.angles import StartAngles
from lib.data import load
whole = presets.mnist("paper")
images = None if sys.argv[1] == "all" else int(sys.argv[1])
settings = StartAngles(data=replace(whole.data, train_size=images), noise=whole.noise, model=whole.model)
task = load(settings.data)
before = peak()
settings.rows(torch.device("cpu"), None)
print(peak() - before)
"""


def measured_alone(code: str, folder: Path, *arguments: str) -> float:
    """The number that a program prints in a process of its own; what it printed as an error is shown if it fails."""
    env = os.environ | {"CLEAN_PRIORITY_DATA": str(folder)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"a benchmark's process failed:\n{done.stderr}")
    return float(done.stdout)


def angles_memory_benchmark(folder: Path, images: str) -> None:
    """Angles of every sample on ten logits (Fig. 10): the memory must not grow with the number of images."""
    used = measured_alone(ANGLES_MEMORY, folder, images)
    report(f"peak memory of ten logits' angles, {images} images", used, " GiB", "< 2", "beyond the data")


MEMORY = f"""{PEAK}
before = peak()
from tests.benchmarks.__main__ import PAPER
from lib import experiments
experiments.run(PAPER, resume=False, progress=False)
print(peak() - before)
"""


def memory_benchmark(folder: Path) -> None:
    used = measured_alone(MEMORY, folder)
    report("peak memory of the paper's FCN run, beyond torch", used, " GiB", "< 1.5", "")


def main() -> None:
    os.environ["TQDM_DISABLE"] = "1"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads")
    with tempfile.TemporaryDirectory() as temporary:
        folder = data_folder()
        if not (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
            folder = Path(temporary)
            random_mnist(folder)
        experiments.load(PAPER.data, folder)  # fills the cache
        epoch_benchmarks(folder)
        cnn_benchmark(folder)
        replicas_benchmark()
        derivatives_benchmark()
        sweep_benchmark()
        playground_benchmark(report)
        if not Path("/proc/self/status").exists():
            print("peak memory: measured on Linux only")
        else:
            memory_benchmark(folder)
            for images in ("1000", "4000"):
                angles_memory_benchmark(folder, images)
        suspects_benchmark(folder)


if __name__ == "__main__":
    main()
