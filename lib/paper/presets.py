"""The settings that more than one chapter of the paper uses: what it says (App. B), and where it is silent, our choice.

Each function gives the experiment of a profile; chapters vary it by
`dataclasses.replace`. The deviations chapter shows what the choices change.
"""

from dataclasses import replace

from ..data import DataConfig
from ..experiments import Experiment
from ..models import ModelConfig
from ..noise import NoiseConfig
from ..observe import ObserveConfig
from ..train import TrainConfig
from .early_gradients import EarlyGradients

EVERYTHING = ObserveConfig(truth=True, tangent_images=16, watched=24)  # of two classes


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
    """Ten classes of handwritten digits, CNN (Figs. 1, 7 top, 8 left, 10)."""
    noise, observe = NoiseConfig(noise_rate), ObserveConfig(residual_l1=True)
    paper = ModelConfig((32, 64, 64), kind="cnn")
    if profile == "smoke":
        train = TrainConfig(lr=0.02, epochs=40, batch_size=32, momentum=0.9)
        return Experiment(DataConfig("digits"), noise, ModelConfig((8, 16, 32), kind="cnn"), train, observe)
    if profile == "cpu":
        train = TrainConfig(lr=0.02, epochs=40, batch_size=128, momentum=0.9)
        return Experiment(DataConfig("mnist", train_size=3000, test_size=2000), noise, paper, train, observe)
    return Experiment(DataConfig("mnist"), noise, paper, TrainConfig(lr=0.1, epochs=180, batch_size=512), observe)


def ten_fitted(profile: str, noise_rate: float = 0.3) -> Experiment:
    """Ten classes of handwritten digits up to the full fit (§ 4.2 for § 5, § 6): the network of `mnist`, but for smoke.

    The small CNN of smoke takes long to fit its labels; two wide hidden layers do it in seconds. At paper there are
    10,000 images and the training of cpu: all 60,000 at the paper's batch size take ten hours a seed on a processor.
    """
    if profile == "smoke":
        train = TrainConfig(lr=0.05, epochs=100, batch_size=64, momentum=0.9)
        return replace(mnist(profile, noise_rate), model=ModelConfig((256, 256)), train=train)
    one = mnist("cpu", noise_rate)
    if profile == "cpu":
        return one
    return replace(one, data=replace(one.data, train_size=10_000), train=replace(one.train, epochs=50))


def noise_level(profile: str, noise_rate: float = 0.3) -> Experiment:
    """One of the noise rates of Fig. 13: the training of `ten_fitted` at δ = .3, a shorter one at others.

    At smoke it is `mnist`.
    """
    if profile == "smoke":
        return mnist(profile, noise_rate)
    one = ten_fitted(profile, noise_rate)
    return one if noise_rate == 0.3 else replace(one, train=replace(one.train, epochs=LEVEL_EPOCHS[profile]))


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


def many_classes(profile: str, noise_rate: float = 0.3) -> Experiment:
    """The network of `mnist` (Figs. 1, 7 top, 8 left, 11 middle); at paper trained as a processor can on all images.

    180 epochs at the paper's batch size take ten hours a seed on one core; 70 of these smaller batches, two to three
    and a half.
    """
    one = mnist(profile, noise_rate)
    if profile != "paper":
        return one
    train = TrainConfig(lr=0.01, epochs=70, batch_size=128, momentum=0.9)
    return EarlyGradients(one.data, one.noise, one.model, train, one.observe, early=12)


def photographs(profile: str, noise_rate: float = 0.4) -> Experiment:
    """The network of `cifar10` (Figs. 7 bottom, 8 right, 11 right). At paper half of its width and of its images.

    So it takes two and a half hours a seed on one core, up to the rise of the test error; the whole would take weeks.
    """
    one = cifar10(profile, noise_rate)
    if profile != "paper":
        return one
    data, model = replace(one.data, train_size=25_000), replace(one.model, widths=(32,))
    train = TrainConfig(lr=0.05, epochs=24, batch_size=128, momentum=0.9)
    return EarlyGradients(data, one.noise, model, train, one.observe, early=12)


def judges_resnet(experiment: Experiment) -> bool:
    """Whether a training of the ResNet-9 is near enough to the paper's for a verdict on its dynamics (Fig. 7 bottom).

    Half of its width and of its photographs at least: a smaller one on fewer does not fit them, right or wrong.
    """
    images = experiment.data.train_size
    photographs = experiment.data.name == "cifar10" and (images is None or images >= 25_000)
    return photographs and experiment.model.widths[0] >= 32


SEEDS = {"smoke": 3, "cpu": 10, "paper": 5}
FEW = {"smoke": 3, "cpu": 5, "paper": 5}  # of networks that take minutes a seed: convolutional ones, and the widest
LEVEL_EPOCHS = {"cpu": 25, "paper": 20}  # of `noise_level`: past the early stop
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
