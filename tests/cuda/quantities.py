"""What is compared between a card and float64 on the CPU: losses, gradients, derivatives."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib.beyond import penalties
from lib.beyond.derivatives import ORDERS, cumulants, directional, unit_directions
from lib.data import pixels
from lib.experiments import generator
from lib.gradients import along_full_gradient, eval_mode, model_derivatives, own_class_subsets, subset_gradients
from lib.models import ModelConfig, build
from lib.noise import NoisyLabels, symmetric
from lib.observe import sample_losses
from tests.cuda.campaign import Settings
from tests.cuda.cases import random_task


@dataclass(frozen=True)
class Setup:
    """A network and images in one precision on one device."""

    model: nn.Module
    images: Tensor
    labels: NoisyLabels

    @classmethod
    def of(cls, config: ModelConfig, settings: Settings, classes: int, device: str, kind: torch.dtype) -> "Setup":
        """The same on every device."""
        shape = (3 if config.kind.startswith("resnet") else 1, *settings.pick((28, 28), (8, 8)))
        task = random_task(settings.pick(512, 64), shape, classes)
        model = build(config, shape, task.outputs, generator(0, "weights")).to(device, kind)
        labels = symmetric(task.train_labels, 0.3, classes, generator(0, "noise"))
        return cls(model, task.train_images.to(device), labels.to(device))

    @property
    def inputs(self) -> Tensor:
        """What the network sees."""
        return pixels(self.images, 255.0).to(next(self.model.parameters()).dtype)


def losses(setup: Setup) -> Tensor:
    """Of each image, in eval mode."""
    with torch.no_grad(), eval_mode(setup.model):
        return sample_losses(setup.model(setup.inputs), setup.labels.given)


def training_gradient(setup: Setup) -> Tensor:
    """Of the mean loss, BatchNorm by the batch."""
    model = copy.deepcopy(setup.model).train()
    loss = sample_losses(model(setup.inputs), setup.labels.given).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def subsets(setup: Setup) -> Tensor:
    """Subset gradients below each other."""
    found = subset_gradients(setup.model, setup.images, setup.labels, own_class_subsets(setup.labels))
    return torch.stack(list(found.gradients.values()))


def derivatives(setup: Setup) -> Tensor:
    """D^1 to D^4, each in units of its own mean size: they differ by orders of magnitude."""
    directions = unit_directions(tuple(setup.images.shape), 2, generator(0, "directions")).to(setup.inputs)
    with torch.no_grad(), eval_mode(setup.model):
        found = cumulants(*directional(setup.model, setup.inputs, directions), setup.labels.given, ORDERS)
    return found / found.abs().mean((1, 2), keepdim=True)


def penalty_gradient(setup: Setup) -> Tensor:
    """Of the penalty on all samples, by the weights that it depends on."""
    directions = unit_directions(tuple(setup.images.shape), 2, generator(0, "directions")).to(setup.inputs)
    value = penalties.penalty(setup.model, setup.inputs, setup.labels.given, directions)
    found = torch.autograd.grad(value, list(setup.model.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


QUANTITIES: dict[str, Callable[[Setup], Tensor]] = {
    "losses": losses,
    "training gradient": training_gradient,
    "subset gradients": subsets,
    "tangents": lambda setup: model_derivatives(setup.model, setup.images[:8]),
    "along the full gradient": lambda setup: along_full_gradient(setup.model, setup.images, setup.labels.given),
    "derivatives": derivatives,
    "gradient of the penalty": penalty_gradient,
}
PIECEWISE_LINEAR = ("derivatives", "gradient of the penalty")  # the CNN alone has logits for them


def networks(settings: Settings) -> dict[str, tuple[ModelConfig, int]]:
    """Name to network and number of classes."""
    return {
        "fcn": (ModelConfig(settings.pick((512, 512), (16, 16))), 2),
        "cnn": (ModelConfig(settings.pick((32, 64, 64), (4, 4, 8)), kind="cnn"), 10),
        "resnet9": (ModelConfig(settings.pick((64,), (4,)), kind="resnet9"), 10),
    }
