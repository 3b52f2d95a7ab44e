"""How the cost of an epoch grows with images, width, classes and seeds: ``python -m tests.benchmarks.costs``.

Writes ``book/costs.json`` for the page "What it costs". Seconds are those of one processor core, so that what else
the machine does counts for little.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np
import torch

from lib.data import DataConfig
from lib.experiments import Experiment, generator, prepare
from lib.files import atomic
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.observe import ObserveConfig
from lib.paths import ROOT
from lib.provenance import device_name
from lib.train import TrainConfig, run_epoch

FILE = ROOT / "book" / "costs.json"
FCN = Experiment(
    DataConfig("mnist", classes=(7, 9), train_size=4000),
    NoiseConfig(0.4),
    ModelConfig((512, 512)),
    TrainConfig(lr=0.1, epochs=1, batch_size=256),
    ObserveConfig(),
)
CNN = replace(
    FCN, data=DataConfig("mnist", train_size=1000), model=ModelConfig((32, 64, 64), kind="cnn"),
    train=TrainConfig(lr=0.02, epochs=1, batch_size=128),
)  # fmt: skip
ROUNDS = 5


@dataclass(frozen=True)
class Cost:
    """Processor seconds of one epoch: training it, and observing errors and subset gradients after it."""

    network: str
    varied: str
    size: int
    training: float
    observing: float


def _median(run: Callable[[], object]) -> float:
    run()
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        run()
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def measured(network: str, varied: str, size: int, experiment: Experiment, seeds: int = 1) -> Cost:
    """One epoch of an experiment, ``seeds`` times."""
    ready = prepare(experiment)
    train = experiment.train
    optimizer = torch.optim.SGD(ready.model.parameters(), lr=train.lr, fused=True)
    order = generator(0, "order")
    training = _median(
        lambda: [run_epoch(ready.model, ready.task, ready.labels.given, train, optimizer, order) for _ in range(seeds)]
    )
    observing = _median(lambda: [ready.observer(ready.model) for _ in range(seeds)])
    return Cost(network, varied, size, training, observing)


def costs() -> list[Cost]:
    """Three sizes and more of each: images, width, classes, seeds."""
    found = []
    for images in (1500, 3000, 6000, 12000):
        found.append(measured("FCN", "images", images, replace(FCN, data=replace(FCN.data, train_size=images))))
    for width in (256, 512, 1024, 2048):
        found.append(measured("FCN", "width", width, replace(FCN, model=ModelConfig((width, width)))))
    for images in (500, 1000, 2000):
        found.append(measured("CNN", "images", images, replace(CNN, data=replace(CNN.data, train_size=images))))
    for classes in (3, 5, 10):
        data = replace(CNN.data, classes=tuple(range(classes)))
        found.append(measured("CNN", "classes", classes, replace(CNN, data=data)))
    for seeds in (1, 2, 4):
        found.append(measured("FCN", "seeds", seeds, FCN, seeds))
    return found


def main() -> None:
    torch.set_num_threads(1)
    told = {
        "device": device_name(torch.device("cpu"), 1),
        "date": datetime.now(UTC).date().isoformat(),
        "costs": [asdict(one) for one in costs()],
    }
    with atomic(FILE) as part:
        part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for one in told["costs"]:
        print(*one.values())


if __name__ == "__main__":
    main()
