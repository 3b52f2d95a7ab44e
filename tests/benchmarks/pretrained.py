"""What ``lib suspects --features`` costs on 50,000 images of 32 × 32: ``python -m tests.benchmarks.pretrained``.

The command is killed (SIGKILL) once while it looks at the images, and started again. Takes CIFAR-10's images and labels
where they are in the data folder, else random ones; the network's weights are random unless a file of them is named.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from lib.data import DataConfig, load
from lib.paths import ROOT, data_folder

IMAGES, CLASSES = 50_000, 10
NETWORK = "efficientnet_b0"  # of torchvision: 0.4 billion multiplications an image of 224 × 224, as EfficientNet-Lite0
KILLED_AFTER = 120.0  # seconds


def images_and_labels(count: int) -> tuple[np.ndarray, np.ndarray]:
    """``[n, 32, 32, 3]`` uint8 and ``[n]``."""
    if (data_folder() / "cifar10.npz").exists():
        task = load(DataConfig("cifar10"))
        return task.train_images.permute(0, 2, 3, 1).numpy()[:count], task.train_labels.numpy()[:count]
    draws = np.random.default_rng(0)
    return draws.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), draws.integers(0, CLASSES, count)


def memory(process: psutil.Process) -> int:
    """Bytes of a process and all below it."""
    try:
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


def once(command: list[str], folder: Path, seconds: float) -> tuple[float, int, int | None]:
    """Run a command until its end, or kill it: seconds, peak bytes, exit status."""
    begun, peak = time.perf_counter(), 0
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with psutil.Popen(command, cwd=folder, env=environment) as process:
        while process.poll() is None:
            peak = max(peak, memory(process))
            if time.perf_counter() - begun > seconds:
                process.kill()
            time.sleep(0.5)
        return time.perf_counter() - begun, peak, process.returncode


def pretrained_benchmark(network: str = NETWORK, weights: Path | None = None, count: int = IMAGES) -> None:
    """Seconds of both starts together, and the peak of memory."""
    from tests.benchmarks.__main__ import report

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images, labels = images_and_labels(count)
        np.savez(folder / "photographs.npz", images=images, labels=labels)
        if weights is None:
            from torchvision import models

            weights = folder / "random.pt"
            torch.save(models.get_model(network, weights=None).state_dict(), weights)
        command = [sys.executable, "-m", "lib", "suspects", "photographs.npz", "--features", network]
        command += ["--weights", str(weights.resolve())]
        first, peak, killed = once(command, folder, KILLED_AFTER)
        second, again, status = once(command, folder, float("inf")) if killed else (0.0, 0, killed)
        if status:
            raise SystemExit(f"the command failed with exit status {status}")
        detail = (
            f"by {network}; killed after {first:.0f} s and started again" if killed else f"by {network}, not killed"
        )
        report(f"{count} images with --features", (first + second) / 60, " min", "<= 40", detail)
        report("peak memory of its processes", max(peak, again) / 1e9, " GB", "< 3", "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default=NETWORK)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--count", type=int, default=IMAGES)
    given = parser.parse_args()
    pretrained_benchmark(given.network, given.weights, given.count)
