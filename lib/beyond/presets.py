"""The settings of the experiments that go on from the paper: the original ones at `paper`, smaller ones below."""

from ..data import DataConfig
from ..models import ModelConfig
from ..noise import NoiseConfig
from ..train import TrainConfig
from .penalties import SelectiveTraining
from .scans import DualScan
from .two_gradients import DualConfig

PIXELS = {"mnist": (0.1307, 0.3081)}  # mean and standard deviation over the training images


MIXES = {"smoke": (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)} | dict.fromkeys(
    ("cpu", "paper"), (0.0, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.65, 0.8, 1.0)
)


def two_gradients(profile: str, noise_rate: float = 0.8, refresh: int = 16) -> DualScan:
    """Learning from two gradients, over its mixes: the original experiment at ``paper``, small networks below."""
    what = {"noise_rates": (noise_rate,), "mixes": MIXES[profile]}
    small = {"smoke": (32, 32), "cpu": (64, 64)}
    if profile == "paper":
        return DualScan(
            data=DataConfig("cifar10"), model=ModelConfig((64,), kind="resnet18"),
            dual=DualConfig(refresh, batch_size=256), seeds=3, augment=True, epochs=100, milestones=(50, 75), **what,
        )  # fmt: skip
    model = ModelConfig(small[profile], batch_norm=True)
    if profile == "cpu":
        data = DataConfig("mnist", train_size=5000, test_size=2000)
        return DualScan(
            data=data, model=model, dual=DualConfig(refresh), seeds=16, pool=2, epochs=10, milestones=(5, 7), **what
        )
    data, dual = DataConfig("digits"), DualConfig(refresh, batch_size=32)
    return DualScan(data=data, model=model, dual=dual, seeds=3, epochs=12, milestones=(6, 9), **what)


def selective(profile: str, condition: str, noise_rate: float, strength: float) -> SelectiveTraining:
    """A penalty on derivatives on the samples of some classes: the original experiment at ``paper``, smaller below."""
    if profile == "smoke":
        data, model = DataConfig("digits"), ModelConfig((8, 16, 32), kind="cnn")
        train, more = TrainConfig(lr=0.01, epochs=10, batch_size=128), {"points": 60, "measured": 2}
    elif profile == "cpu":
        data = DataConfig("mnist", train_size=6000)
        model = ModelConfig((8, 16, 64), kind="cnn", standardise=PIXELS["mnist"])
        train, more = TrainConfig(lr=1e-3, epochs=6, batch_size=128), {"pool": 2, "points": 100}
    else:
        data = DataConfig("mnist")
        model = ModelConfig((32, 64, 128), kind="cnn", standardise=PIXELS["mnist"], dropout=0.5)
        train, more = TrainConfig(lr=1e-3, epochs=15, batch_size=128), {}
    by = 0.0 if condition == "baseline" else strength
    return SelectiveTraining(
        data=data, noise=NoiseConfig(noise_rate), model=model, train=train, condition=condition, strength=by, **more
    )
