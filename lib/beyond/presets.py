"""The settings of the experiments that go on from the paper: the original ones at `paper`, smaller ones below."""

from collections.abc import Sequence
from dataclasses import replace

from ..data import DataConfig
from ..models import ModelConfig
from ..noise import NoiseConfig
from ..train import TrainConfig
from .long_selective import LongSelective
from .penalties import SelectiveTraining
from .scans import DualPath, DualScan, closed_loop, led_along
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
            dual=DualConfig(refresh, batch_size=256), seeds=5, augment=True, epochs=100, milestones=(50, 75), **what,
        )  # fmt: skip
    model = ModelConfig(small[profile], batch_norm=True)
    if profile == "cpu":
        data = DataConfig("mnist", train_size=5000, test_size=2000)
        return DualScan(
            data=data, model=model, dual=DualConfig(refresh), seeds=16, pool=2, epochs=10, milestones=(5, 7), **what
        )
    data, dual = DataConfig("digits"), DualConfig(refresh, batch_size=32)
    return DualScan(data=data, model=model, dual=dual, seeds=3, epochs=12, milestones=(6, 9), **what)


# The original experiment on hysteresis trains its two kinds of network like this: mix, epochs in units of the ordered
# ones', and the shares of the epochs after which the learning rate falls to a tenth (of 50 epochs 30 and 40, of 100
# epochs 50 and 80). The third is this book's control: the mix of the one, the schedule of the other.
BRANCHES = {
    "ordered": (0.35, 1, (0.6, 0.8)),
    "collapsed": (0.65, 2, (0.5, 0.8)),
    "ordered, trained as long": (
        0.35,
        2,
        (0.5, 0.8),
    ),  # this book's control: the mix of the one, the schedule of the other
}
BRANCH_EPOCHS = {"smoke": 10, "cpu": 10, "paper": 50}


def hysteresis(profile: str, branch: str, noise_rate: float, window: Sequence[float], seeds: int) -> DualPath:
    """The experiment on hysteresis: networks of one kind, then a sweep at a hundredth of the first learning rate.

    ``branch``: one of `BRANCHES`; ``window``: the mixes in the order of the sweep, three epochs at each.
    """
    mix, longer, shares = BRANCHES[branch]
    one = replace(two_gradients(profile, noise_rate), seeds=seeds)
    epochs = longer * BRANCH_EPOCHS[profile]
    ends = [0, *(round(share * epochs) for share in shares), epochs]
    rates = [one.dual.lr * 0.1**k for k in range(len(ends) - 1)]
    train = [(mix, end - begin, lr) for begin, end, lr in zip(ends, ends[1:], rates, strict=False)]
    return led_along(one, [*train, *((value, 3, 0.01 * one.dual.lr) for value in window)], afresh=len(train))


# The published loops have 60 stages, and lower the learning rate on the way: to a tenth after 50 epochs and after 75.
LOOP_STAGES, LOOP_DROPS = 60, (50, 75)


def falling_loop(mixes: Sequence[float], dwell: int, lr: float) -> tuple[tuple[float, int, float], ...]:
    """A closed loop as published: from fresh weights (one epoch at the first mix), with a falling learning rate.

    It falls where the published loops' does, as a share of the loop: after 50 and 75 of 60 x ``dwell`` epochs.
    """
    first, *loop = closed_loop(mixes, dwell, lr, warm_up=1)
    ends = [drop / (LOOP_STAGES * dwell) for drop in LOOP_DROPS]
    return (
        first,
        *(
            (mix, epochs, lr * 0.1 ** sum(number >= round(end * len(loop)) for end in ends))
            for number, (mix, epochs, _) in enumerate(loop)
        ),
    )


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
    made = LongSelective if profile == "paper" else SelectiveTraining
    return made(
        data=data, noise=NoiseConfig(noise_rate), model=model, train=train, condition=condition, strength=by, **more
    )
