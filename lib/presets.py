"""The settings that more than one chapter uses: what the paper says (App. B), and where it is silent, our choice.

Each function gives the experiment of a profile; chapters vary it by
`dataclasses.replace`. The deviations chapter shows what the choices change.
"""

from lib.comparison import FindWrongLabels
from lib.data import DataConfig
from lib.derivatives import SelectiveTraining
from lib.dual_gradient import DualConfig, DualScan
from lib.experiments import Experiment
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.observe import ObserveConfig
from lib.published import PublishedSuspects
from lib.stopped import Recipe
from lib.stopping import StopRules
from lib.train import TrainConfig

EVERYTHING = ObserveConfig(truth=True, tangent_images=16, watched=24)  # of two classes
PIXELS = {"mnist": (0.1307, 0.3081)}  # mean and standard deviation over the training images


def binary(profile: str, noise_rate: float = 0.4) -> Experiment:
    """Two classes, fully connected, 7 v 9 (Figs. 5, 6, 12): the run "fit" of the chapter on binary dynamics."""
    noise = NoiseConfig(noise_rate)
    if profile == "smoke":
        train = TrainConfig(lr=0.03, epochs=200, batch_size=32, momentum=0.9)
        return Experiment(DataConfig("digits", classes=(7, 9)), noise, ModelConfig((128, 128)), train, EVERYTHING)
    if profile == "cpu":
        data = DataConfig("mnist", classes=(7, 9), train_size=3000)
        return Experiment(data, noise, ModelConfig(), TrainConfig(lr=0.1, epochs=120, momentum=0.9), EVERYTHING)
    data = DataConfig("mnist", classes=(7, 9))
    return Experiment(data, noise, ModelConfig(), TrainConfig(lr=0.1, epochs=400), EVERYTHING)


def mnist(profile: str, noise_rate: float = 0.3) -> Experiment:
    """Ten classes of handwritten digits, CNN (Figs. 1, 7 top, 8 left, 10, 13)."""
    noise, observe = NoiseConfig(noise_rate), ObserveConfig(residual_l1=True)
    paper = ModelConfig((32, 64, 64), kind="cnn")
    if profile == "smoke":
        train = TrainConfig(lr=0.02, epochs=40, batch_size=32, momentum=0.9)
        return Experiment(DataConfig("digits"), noise, ModelConfig((8, 16, 32), kind="cnn"), train, observe)
    if profile == "cpu":
        train = TrainConfig(lr=0.02, epochs=40, batch_size=128, momentum=0.9)
        return Experiment(DataConfig("mnist", train_size=3000, test_size=2000), noise, paper, train, observe)
    return Experiment(DataConfig("mnist"), noise, paper, TrainConfig(lr=0.1, epochs=180, batch_size=512), observe)


def cifar10(profile: str, noise_rate: float = 0.4) -> Experiment:
    """Ten classes of photographs, ResNet-9 (Figs. 7 bottom, 8 right, 11 right); at smoke still the digits."""
    noise, observe = NoiseConfig(noise_rate), ObserveConfig(residual_l1=True)
    if profile == "smoke":
        train = TrainConfig(lr=0.02, epochs=15, batch_size=64, momentum=0.9)
        return Experiment(DataConfig("digits"), noise, ModelConfig((4,), kind="resnet9"), train, observe)
    if profile == "cpu":
        data = DataConfig("cifar10", train_size=6000, test_size=2000)
        train = TrainConfig(lr=0.05, epochs=25, batch_size=128, momentum=0.9)
        return Experiment(data, noise, ModelConfig((16,), kind="resnet9"), train, observe)
    train = TrainConfig(lr=0.1, epochs=300, batch_size=512, momentum=0.9)
    return Experiment(DataConfig("cifar10"), noise, ModelConfig((64,), kind="resnet9"), train, observe)


RATES = {"smoke": (0.1, 0.4), "cpu": (0.1, 0.2, 0.3, 0.4), "paper": (0.1, 0.2, 0.3, 0.4)}  # those of Fig. 13
WIDTHS = {"smoke": (16, 64, 256), "cpu": (32, 128, 256, 512, 2048), "paper": (32, 128, 512, 2048)}


def wide(profile: str, width: int, noise_rate: float = 0.4) -> Experiment:
    """Two hidden layers of any width, 7 v 9 (Fig. 12; § 6)."""
    noise, model, observe = NoiseConfig(noise_rate), ModelConfig((width, width)), ObserveConfig()
    if profile == "smoke":
        train = TrainConfig(lr=0.03, epochs=200, batch_size=32, momentum=0.9)
        return Experiment(DataConfig("digits", classes=(7, 9)), noise, model, train, observe)
    if profile == "cpu":
        data = DataConfig("mnist", classes=(7, 9), train_size=2000)
        return Experiment(data, noise, model, TrainConfig(lr=0.1, epochs=100, momentum=0.9), observe)
    data = DataConfig("mnist", classes=(7, 9))
    return Experiment(data, noise, model, TrainConfig(lr=0.1, epochs=400), observe)


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


CELLS = (  # kinds of noise and their rates
    ("symmetric", 0.1),
    ("symmetric", 0.2),
    ("symmetric", 0.4),
    ("pairs", 0.3),
    ("classes", 0.25),
    ("imbalanced", 0.2),
    ("boundary", 0.2),
)
SUSPECT_DATA = ("digits", "mnist", "cifar10")


def find_wrong_labels(name: str, setting: str, noise_rate: float) -> FindWrongLabels:
    """A cell of the comparison: fully connected for handwritten digits, a small ResNet-9 for four kinds of vehicles."""
    if name == "cifar10":
        return FindWrongLabels(
            data=DataConfig(name, classes=(0, 1, 8, 9), train_size=2400), setting=setting, noise_rate=noise_rate,
            model=ModelConfig((8,), kind="resnet9"), recipe=Recipe(lr=0.05, epochs=20), pool=2,
        )  # fmt: skip
    data = DataConfig(name, train_size=6000) if name == "mnist" else DataConfig(name)
    return FindWrongLabels(data=data, setting=setting, noise_rate=noise_rate, model=ModelConfig((256, 256)))


def many_photographs(noise_rate: float) -> FindWrongLabels:
    """All of the four kinds of vehicles in full size, three tenths held out, without rivals: for the noise rate."""
    return FindWrongLabels(
        data=DataConfig("cifar10", classes=(0, 1, 8, 9)), setting="symmetric", noise_rate=noise_rate,
        model=ModelConfig((8,), kind="resnet9"), recipe=Recipe(lr=0.02, epochs=6, held_out=0.3), rivals=False,
    )  # fmt: skip


def stop_rules(profile: str, noise_rate: float) -> StopRules:
    """A training that goes on past every stop."""
    if profile == "smoke":
        return StopRules(
            data=DataConfig("digits"), noise=NoiseConfig(noise_rate), model=ModelConfig((64, 64)),
            recipe=Recipe(epochs=90),
        )  # fmt: skip
    return StopRules(
        data=DataConfig("mnist", train_size=6000, test_size=2000), noise=NoiseConfig(noise_rate),
        model=ModelConfig((256, 256)), recipe=Recipe(epochs=30),
    )  # fmt: skip


def published(name: str) -> PublishedSuspects:
    """All training images with the labels they were published with."""
    if name == "cifar10":
        return PublishedSuspects(
            data=DataConfig(name), model=ModelConfig((8,), kind="resnet9"), recipe=Recipe(lr=0.05, epochs=12), pool=2
        )
    return PublishedSuspects(data=DataConfig(name), model=ModelConfig((256, 256)))


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
