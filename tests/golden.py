"""One run of under a second of each kind of record, and the numbers that it must give.

A changed number is found here in seconds, whatever file it came from: a run
that differs from its kept table means that records of that kind are no longer
what the code gives. ``python -m tests.golden NAME ...`` keeps tables anew, for
a change that is meant.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lib.beyond.earlier import EarlierResNet
from lib.beyond.long_selective import LongSelective
from lib.beyond.penalties import SelectiveTraining
from lib.beyond.renamed import RenamedTraining
from lib.beyond.scans import DualPath, DualScan
from lib.beyond.two_gradients import DualConfig
from lib.data import DataConfig
from lib.experiments import Experiment, Recordable
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.observe import ObserveConfig
from lib.paper.angles import BatchDirections, CircleAngles, PairAngles, StartAngles
from lib.paper.balanced import BalancedKernelMachine
from lib.paper.early_gradients import EarlyGradients
from lib.paper.identities import Identities
from lib.paper.in_training import AnglesInTraining, BatchesInTraining
from lib.paper.kernels import KernelMachine
from lib.records import history_frame
from lib.suspects.compare import FindWrongLabels
from lib.suspects.early_stop import Recipe
from lib.suspects.human import METHODS, STAND_IN, HumanFinders, HumanTraining
from lib.suspects.human_heads import HumanCorrection, HumanMargins
from lib.suspects.published import PublishedSuspects
from lib.suspects.stop_rules import StopRules
from lib.train import Machine, TrainConfig

TABLES = Path(__file__).parent / "golden"
TWO, TEN, NOISE = DataConfig("digits", classes=(7, 9)), DataConfig("digits"), NoiseConfig(0.3)
SMALL = ModelConfig((16, 16))
GOLDEN = {
    "binary": Experiment(
        TWO,
        NoiseConfig(0.4),
        ModelConfig((32, 32)),
        TrainConfig(lr=0.03, epochs=6, batch_size=32, momentum=0.9),
        ObserveConfig(truth=True, tangent_images=4, watched=5),
    ),
    "cnn": Experiment(
        replace(TEN, train_size=200, test_size=100),
        NOISE,
        ModelConfig((4, 8, 16), kind="cnn"),
        TrainConfig(lr=0.05, epochs=2, batch_size=64),
        ObserveConfig(residual_l1=True),
    ),
    "projections": Experiment(
        replace(TEN, train_size=200, test_size=100),
        NOISE,
        ModelConfig((4, 8, 16), kind="cnn"),
        TrainConfig(lr=0.05, epochs=2, batch_size=64),
        ObserveConfig(gradients=False, projections=True),
    ),
    "resnet9": Experiment(
        replace(TEN, train_size=100, test_size=50),
        NOISE,
        ModelConfig((4,), kind="resnet9"),
        TrainConfig(lr=0.02, epochs=2, batch_size=50),
        ObserveConfig(),
    ),
    "early_gradients": EarlyGradients(
        replace(TEN, train_size=200, test_size=100),
        NOISE,
        ModelConfig((4, 8, 16), kind="cnn"),
        TrainConfig(lr=0.05, epochs=4, batch_size=64),
        ObserveConfig(residual_l1=True),
        early=1,
    ),
    "angles": StartAngles(
        data=replace(TEN, train_size=300), noise=NOISE, model=ModelConfig((4, 8, 16), kind="cnn"), only=2
    ),
    "circle": CircleAngles(layers=3, activation="relu", widths=(16,), bases=1, step=30),
    "pairs": PairAngles(data=DataConfig("clusters"), layers=3, width=32),
    "batches": BatchDirections(data=TWO, noise=NOISE, model=SMALL, draws=3, batch_sizes=(8, 32)),
    "angles_in_training": AnglesInTraining(
        data=replace(TWO, train_size=60),
        noise=NOISE,
        train=TrainConfig(lr=0.05, epochs=6, batch_size=20, momentum=0.9),
        widths=(16,),
        images=12,
    ),
    "batches_in_training": BatchesInTraining(
        data=TWO,
        noise=NOISE,
        model=SMALL,
        train=TrainConfig(lr=0.1, epochs=2, batch_size=32),
        batch_sizes=(8, 32),
        draws=3,
    ),
    "kernel": KernelMachine(
        data=replace(TWO, train_size=150),
        noise=NOISE,
        kernel="laplacian",
        scale=2.0,
        points=10,
        decades=4.0,
        explicit=20,
    ),
    "balanced": BalancedKernelMachine(
        data=replace(TWO, train_size=150), noise=NOISE, kernel="laplacian", scale=2.0, points=10, decades=4.0
    ),
    "scan": DualScan(
        data=replace(TEN, train_size=400, test_size=200),
        model=ModelConfig((16, 16), batch_norm=True),
        dual=DualConfig(4, batch_size=32),
        seeds=2,
        epochs=2,
        milestones=(1,),
        noise_rates=(0.4,),
        mixes=(0.2, 0.8),
    ),
    "path": DualPath(
        data=replace(TEN, train_size=300, test_size=100),
        model=ModelConfig((16, 16), batch_norm=True),
        dual=DualConfig(4, batch_size=32, clean_batch="trusted", trusted=0.2),
        seeds=2,
        noise_rate=0.4,
        path=((0.2, 1, 0.1), (0.8, 1, 0.05)),
    ),
    "selective": SelectiveTraining(
        data=replace(TEN, train_size=400, test_size=300),
        noise=NOISE,
        model=ModelConfig((4, 8, 16), kind="cnn"),
        train=TrainConfig(lr=0.01, epochs=2, batch_size=64),
        condition="selective_49",
        strength=1.0,
        points=20,
        measured=2,
    ),
    "long_selective": LongSelective(
        data=replace(TEN, train_size=400, test_size=300),
        noise=NOISE,
        model=ModelConfig((4, 8, 16), kind="cnn", dropout=0.5),
        train=TrainConfig(lr=0.01, epochs=2, batch_size=64),
        condition="selective_38",
        strength=1.0,
        points=20,
        measured=2,
    ),
    "renamed": RenamedTraining(
        data=replace(TEN, train_size=400, test_size=300),
        noise=NOISE,
        model=ModelConfig((4, 8, 16), kind="cnn"),
        train=TrainConfig(lr=0.01, epochs=2, batch_size=64),
        condition="selective_49",
        strength=1.0,
        points=20,
        measured=2,
    ),
    "earlier": EarlierResNet(
        data=replace(TEN, train_size=100, test_size=50),
        noise=NOISE,
        width=4,
        train=TrainConfig(lr=0.02, epochs=2, batch_size=50, momentum=0.9),
        annealed=3,
    ),
    "identities": Identities(
        data=replace(TWO, train_size=100), noise=NOISE, model=SMALL, train=TrainConfig(lr=0.1, epochs=3, batch_size=25)
    ),
    "suspects": FindWrongLabels(
        data=replace(TEN, train_size=400),
        setting="pairs",
        noise_rate=0.3,
        model=SMALL,
        recipe=Recipe(epochs=12),
        rivals=False,
    ),
    "stopping": StopRules(
        data=replace(TEN, train_size=400, test_size=200), noise=NOISE, model=SMALL, recipe=Recipe(epochs=12)
    ),
    "published": PublishedSuspects(data=replace(TEN, train_size=400), model=SMALL, recipe=Recipe(epochs=12), shown=5),
    "human_training": HumanTraining(
        labels=STAND_IN, noise="classes", model=SMALL, train=TrainConfig(lr=0.05, epochs=3, batch_size=32)
    ),
    "human_pixels": HumanTraining(
        labels=STAND_IN,
        model=ModelConfig((4, 4, 8), kind="cnn"),
        train=TrainConfig(lr=0.05, epochs=2, batch_size=32),
        pixels=True,
    ),
    "human_finders": HumanFinders(labels=STAND_IN),
    "human_margins": HumanMargins(labels=STAND_IN, model=SMALL, train=TrainConfig(lr=0.05, epochs=3, batch_size=32)),
    "human_correction": HumanCorrection(
        labels=STAND_IN, model=SMALL, train=TrainConfig(lr=0.05, epochs=3, batch_size=32)
    ),
}


def table_of(recordable: Recordable) -> pd.DataFrame:
    """What a run gives now, on one thread of this processor; seconds left out.

    So is the fit of raw pixels with scikit-learn's default tolerance: it stops wherever a processor's rounding has led
    it, and flags a fifth more or fewer labels on another one.
    """
    machine = Machine("cpu", threads=1)
    done = recordable.run(machine=machine, folder=None, resume=False, made_by="", progress=False)
    table = history_frame(done.history).drop(columns=list(getattr(recordable, "timed", ())))
    if isinstance(recordable, HumanFinders):
        table = table[table["method"] != METHODS.index("cleanlab, documented")].reset_index(drop=True)
    return table


if __name__ == "__main__":
    for name in sys.argv[1:] or GOLDEN:
        TABLES.mkdir(exist_ok=True)
        table_of(GOLDEN[name]).to_parquet(TABLES / f"{name}.parquet", compression="zstd")
        print(name)
