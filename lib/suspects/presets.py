"""The settings in which the finder of wrong labels is compared with other methods."""

from typing import Any

from ..data import DataConfig
from ..models import ModelConfig
from ..noise import NoiseConfig
from ..train import TrainConfig
from .compare import FindWrongLabels
from .early_stop import Recipe
from .human import STAND_IN, HumanFinders, HumanTraining
from .human_heads import HumanCorrection, HumanMargins
from .published import PublishedSuspects
from .stop_rules import StopRules

CELLS = (  # kinds of noise and their rates
    ("symmetric", 0.1),
    ("symmetric", 0.2),
    ("symmetric", 0.4),
    ("pairs", 0.3),
    ("classes", 0.25),
    ("imbalanced", 0.2),
    ("boundary", 0.2),
)


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


def human_training(profile: str, labels: str, noise: str) -> HumanTraining:
    """A head on features, trained past its best moment; at smoke on the digits, whatever ``labels``."""
    return HumanTraining(noise=noise, **_head(profile, labels))


def human_margins(profile: str, labels: str, noise: str = "human") -> HumanMargins:
    """AUM of the same head."""
    return HumanMargins(noise=noise, **_head(profile, labels))


def human_correction(profile: str, labels: str) -> HumanCorrection:
    """The same head, trained again on corrected labels."""
    return HumanCorrection(**_head(profile, labels))


def _head(profile: str, labels: str) -> dict[str, Any]:
    if profile == "smoke":
        labels, train = STAND_IN, TrainConfig(lr=0.03, epochs=60, batch_size=32)
    else:
        train = TrainConfig(lr=0.01, epochs=50, batch_size=64)
    return {"labels": labels, "model": ModelConfig((256,)), "train": train}


def human_pixels(profile: str, labels: str, noise: str) -> HumanTraining:
    """A small convolutional network on the images themselves; at smoke on the digits, whatever ``labels``."""
    if profile == "smoke":
        model, train = ModelConfig((16, 16, 64), kind="cnn"), TrainConfig(lr=0.05, epochs=40, batch_size=32)
        return HumanTraining(labels=STAND_IN, noise=noise, model=model, train=train, pixels=True)
    model = ModelConfig((8, 16, 64), kind="cnn", standardise=(0.47, 0.25))
    train = TrainConfig(lr=0.05, epochs=20, batch_size=64)
    return HumanTraining(labels=labels, noise=noise, model=model, train=train, pixels=True)


def human_finders(profile: str, labels: str, noise: str = "human") -> HumanFinders:
    """Who finds the wrong labels by features; at smoke on the digits, whatever ``labels``."""
    return HumanFinders(labels=STAND_IN if profile == "smoke" else labels, noise=noise)
