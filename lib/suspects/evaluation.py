"""What a chapter asks of the comparison with other methods, and how it draws the answers."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from ..press import figures
from ..runs import Runs
from .compare import METHODS
from .early_stop import Inputs, Recipe, answers, margin, train_until_stop


class Comparison:
    """Reads the tables of `compare.FindWrongLabels` by cell: a data set, a kind of noise and its rate.

    Methods are those of `METHODS`, columns those of the tables; arrays have one entry a seed.
    """

    def __init__(self, runs: Mapping[str, Runs]) -> None:
        self._tables = {cell: some.table for cell, some in runs.items()}

    def of(self, cell: str, method: str, column: str) -> np.ndarray:
        """A method's values in a cell. ValueError for a method that there is not."""
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; there are: {', '.join(METHODS)}")
        table = self._tables[cell]
        return table[table["method"] == METHODS.index(method)][column].to_numpy()

    def gain(self, cell: str, rival: str, method: str = METHODS[0]) -> np.ndarray:
        """Average precision of a method less that of a rival on the same labels."""
        return self.of(cell, method, "average_precision") - self.of(cell, rival, "average_precision")

    def best(self, cell: str, methods: Iterable[str]) -> str:
        """That of some methods which does best in a cell: by average precision, mean over seeds."""
        return max(methods, key=lambda method: self.of(cell, method, "average_precision").mean())


def cross_validated_margins(images: Tensor, given: Tensor, classes: int, folds: int = 5) -> Tensor:
    """Margin of each given label under a network that was trained without it: on the other folds; ``[n]``, on the CPU.

    Each network has another seed, from 1 on, and stops by itself.
    """
    found = torch.zeros(len(given))
    splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(given)), given)
    for fold, (learnt, asked) in enumerate(splits):
        inputs, recipe = Inputs(images[learnt], torch.device("cpu")), Recipe(seed=fold + 1, device="cpu")
        network = recipe.build(inputs.shape, classes)
        stopped = train_until_stop(network, inputs, given[learnt], recipe, progress=False)
        rest = Inputs.like(inputs, images[asked])
        found[asked] = margin(answers(stopped.model, rest, torch.arange(len(asked))), given[asked])
    return found


def against_whole_gradient(model: nn.Module, inputs: Inputs, given: Tensor, chunk: int = 200) -> np.ndarray:
    """Cosine of each sample's loss gradient with that of all samples, in eval mode as ``model`` is; ``[n]``."""
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        h = torch.func.functional_call(model, weights, (x.unsqueeze(0),))
        return nn.functional.cross_entropy(h, y.unsqueeze(0))

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def gradients(index: Tensor) -> Tensor:
        return torch.cat([g.flatten(1) for g in each(weights, inputs(index), given[index]).values()], dim=1)

    chunks = torch.arange(len(inputs)).split(chunk)
    whole = sum(gradients(index).sum(0) for index in chunks)
    cosines = [nn.functional.cosine_similarity(gradients(index), whole.unsqueeze(0)) for index in chunks]
    return torch.cat(cosines).numpy()


def histograms(axes: Axes, values: np.ndarray, wrong: np.ndarray) -> None:
    """Two outlined histograms of one signal ``[n]``, of right and of ``wrong`` labels, each named at its peak."""
    bins = np.linspace(values.min(), values.max(), 50)
    for mine, style, label, offset, align in (
        (~wrong, figures.CLEAN, "right label", 6, "left"),
        (wrong, figures.NOISY, "wrong label", -6, "right"),
    ):
        counts, _ = np.histogram(values[mine], bins)
        axes.stairs(counts, bins, color=style.color, linestyle=style.line, linewidth=1.6, fill=False)
        axes.stairs(counts, bins, color=style.color, alpha=0.15, fill=True)
        top = counts.argmax()
        axes.annotate(
            label, (bins[top], counts[top]), xytext=(offset, 2), textcoords="offset points", color=style.color, ha=align
        )


def intervals(axes: Axes, rows: Sequence[str], found: Mapping[str, Sequence[tuple[float, float, float]]]) -> None:
    """A mark with its interval for each row, from top to bottom, side by side for up to four things that are compared.

    ``found``: for each thing its mean, low and high in every row. ValueError for more than four.
    """
    looks = ((figures.CLEAN, "o"), (figures.NOISY, "^"), (figures.TRAIN, "s"), (figures.FIRST, "D"))
    if len(found) > len(looks):
        raise ValueError(f"{len(found)} things to compare: at most {len(looks)} can be told apart")
    apart = 0.22 if len(found) < 4 else 0.19
    for place, ((style, marker), (label, values)) in enumerate(zip(looks, found.items(), strict=False)):
        shift = apart * (place - (len(found) - 1) / 2)
        for k, (mean, low, high) in enumerate(values):
            axes.plot([low, high], [k + shift] * 2, color=style.color, linewidth=1.3)
            axes.plot(mean, k + shift, marker, color=style.color, markersize=5, label=label if k == 0 else None)
    axes.axvline(0, color=figures.INK, linewidth=1)
    axes.set_yticks(range(len(rows)), rows, fontsize=9.5)
    axes.set(ylim=(len(rows) - 0.4, -0.6))
