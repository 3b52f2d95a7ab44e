"""The penalty on directional derivatives: one forward-mode product against nested backward passes."""

import torch
from torch import Tensor, nn

from lib.beyond.derivatives import unit_directions
from lib.beyond.penalties import logits_and_sizes, members, penalty
from lib.gradients import eval_mode
from lib.models import ModelConfig, build

BATCH, ORDERS, DIRECTIONS = 128, 3, 2


def nested_penalty(model: nn.Module, images: Tensor, labels: Tensor, directions: Tensor, orders: int) -> Tensor:
    """The same number by a backward pass for each order and direction, as the original experiment has it."""
    images = images.clone().requires_grad_(True)
    terms = []
    with eval_mode(model):
        for direction in directions:
            value = nn.functional.cross_entropy(model(images), labels, reduction="none")
            for _ in range(orders):
                (gradient,) = torch.autograd.grad(value.sum(), images, create_graph=True)
                value = (gradient * direction).flatten(1).sum(1)
                terms.append(value.abs().mean())
    return torch.stack(terms).mean()


def derivatives_benchmark() -> None:
    """Steps of the original experiment's CNN on random images: the work does not depend on what they show."""
    from tests.benchmarks.__main__ import report, side_by_side  # which imports this module

    drawn = torch.Generator().manual_seed(0)
    images = torch.rand((BATCH, 1, 28, 28), generator=drawn)
    labels = torch.arange(BATCH) % 10
    directions = unit_directions(tuple(images.shape), DIRECTIONS, drawn)
    model = build(ModelConfig((32, 64, 128), kind="cnn", dropout=0.5), (1, 28, 28), 10, drawn)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    two = members(labels, (4, 9))

    def step(loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def plain() -> Tensor:
        return nn.functional.cross_entropy(model(images), labels)

    def shared() -> Tensor:
        logits, sizes = logits_and_sizes(model, images, labels, directions, ORDERS)
        return nn.functional.cross_entropy(logits, labels) + sizes.mean()

    times = side_by_side(
        {
            "plain": lambda: step(plain()),
            "nested": lambda: step(plain() + nested_penalty(model, images, labels, directions, ORDERS)),
            "ours": lambda: step(shared()),
            "two": lambda: step(plain() + penalty(model, images, labels, directions, ORDERS, two)),
        },
        rounds=5,
    )
    nested, ours = times["nested"] - times["plain"], times["ours"] - times["plain"]
    report(
        "penalty in a step, against nested backward passes", nested / ours, " x", ">= 4",
        f"{ours:.2f} s against {nested:.2f} s more than a plain step",
    )  # fmt: skip
    report(
        "step with the penalty on all classes against a plain one", times["ours"] / times["plain"], " x", "<= 4",
        f"{times['ours']:.2f} s against {times['plain']:.2f} s",
    )  # fmt: skip
    report(
        "… with the penalty on two classes", times["two"] / times["plain"], " x", "", f"{times['two']:.2f} s"
    )  # fmt: skip
