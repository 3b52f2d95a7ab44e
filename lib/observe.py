"""What is measured after an epoch: one tidy row of numbers.

Columns (per-class ones end in the class's number):

    train_error, train_loss            on the training set with its given labels
    clean_*, noisy_*  error/loss/residual   on D_clean and D_noise (§ 4.1, Figs. 5, 7, 11)
    test_error, test_loss              on the test set, whose labels are right
    norm_clean_c, norm_noise_c         ||g_clean^(c)||, ||g_noise^(c)|| (§ 3.2)
    ratio_c, ratio                     their quotient (Figs. 6, 8), and its geometric mean over classes
    cos_noise_clean_c                  cosine of g_noise^(c) and g_clean^(c) (Assumption 4.1)
    alpha                              ||sum_c g_noise|| / ||sum_c g_clean|| (two classes)
    cos_noise_clean, cos_truth, step_factor
                                       the same sums' cosine; cosine of the full gradient and the
                                       ground-truth gradient, and the length of the first along the
                                       second over the second's (Prop. 4.2; two classes)
    cos_clean_truth_c, truth_share_c   cosine of g_clean^(c) and g-hat^(c), and the length of the first
                                       along the second over the second's (Eq. 10; two classes)
    cos_tangent                        mean cosine of grad h(w_t; x) and grad h(w_0; x)
    clean_residual_l1, noisy_residual_l1
                                       the residual as a sum of absolute values, twice its largest
                                       entry (more than two classes)
    clean_along, noisy_along           share of the clean and of the noisy samples whose own loss gradient has a
                                       positive inner product with the full gradient (§ 1)
    watched_k                          probability given to class 1 (two classes) or to the given
                                       label (more) for the k-th watched image
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .data import Task, pixels
from .gradients import (
    SubsetGradients,
    all_logits,
    along_full_gradient,
    cosine_tensor,
    images_at_once,
    model_derivatives,
    own_class_subsets,
    probabilities,
    subset_gradients,
    targets,
)
from .noise import NoisyLabels

Row = dict[str, float]
Scalars = dict[str, Tensor]  # numbers that are still on the device


@dataclass(frozen=True)
class ObserveConfig:
    """What is measured besides errors, losses and residuals."""

    gradients: bool = True  # subset gradients: ratios, cosines, alpha
    truth: bool = False  # gradient with the true labels (Prop. 4.2; two classes only)
    tangent_images: int = 0  # images on which grad h is compared with its start
    watched: int = 0  # flipped training images followed one by one (all of them, if there are fewer)
    residual_l1: bool = False  # the residual also by its other norm: § 5 names none
    projections: bool = False  # which samples' gradients point along the full gradient (§ 1)

    def validate(self) -> None:
        """Raise ValueError for negative counts, or truth without gradients."""
        for name in ("tangent_images", "watched"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.truth and not self.gradients:
            raise ValueError("truth needs gradients: set gradients=True")


class Observer:
    """Measures a model against a task; made when the model is at its start.

    ``watched`` holds the positions of the watched training images: the first
    ones of a shuffle of the flipped images, drawn before any training.
    """

    def __init__(
        self,
        config: ObserveConfig,
        model: nn.Module,
        task: Task,
        labels: NoisyLabels,
        generator: torch.Generator,
    ) -> None:
        config.validate()
        flipped = labels.is_noisy.nonzero().squeeze(1)
        if config.truth and task.outputs != 1:
            raise ValueError("truth (Prop. 4.2) is defined for two classes")
        self.config, self.task, self.labels = config, task, labels
        self.subsets = own_class_subsets(labels)
        self.parts = parts(labels)
        device = flipped.device
        self.watched = flipped[torch.randperm(len(flipped), generator=generator)[: config.watched].to(device)]
        draw = torch.randperm(len(task.train_labels), generator=generator)[: config.tangent_images]
        self._tangent_images = task.train_images[draw.to(device)]
        self._tangent_start = self._tangents(model)

    def __call__(self, model: nn.Module) -> Row:
        """Measure; the model is left as it was."""
        row: Scalars = {}
        test_logits = _outputs(model, self.task.test_images, self.task.white)
        measured = None
        if self.config.gradients:
            measured = subset_gradients(
                model,
                self.task.train_images,
                self.labels,
                self.subsets,
                white=self.task.white,
                truth=self.config.truth,
            )
            train_logits = measured.logits
        else:
            train_logits = _outputs(model, self.task.train_images, self.task.white)
        row |= _errors(train_logits, self.labels.given, self.parts, test_logits, self.task.test_labels)
        if self.config.residual_l1:
            row |= _residuals_l1(train_logits, self.labels.given, self.parts)
        if measured is not None:
            row |= _dominance(measured, self.labels.classes)
            if train_logits.shape[1] == 1:
                row |= _sums(measured)
        if self.config.tangent_images:
            cosines = nn.functional.cosine_similarity(self._tangents(model), self._tangent_start)
            row["cos_tangent"] = cosines.clamp(max=1).mean()
        if self.config.projections:
            row |= self._projections(model)
        if self.config.watched:
            row |= self._watched_row(train_logits)
        # one read for all: each would make the host wait until the device has done everything before it
        return dict(zip(row, torch.stack([value.double() for value in row.values()]).tolist(), strict=True))

    def _tangents(self, model: nn.Module) -> Tensor | None:
        if not self.config.tangent_images:
            return None
        return model_derivatives(model, self._tangent_images, white=self.task.white)

    def _projections(self, model: nn.Module) -> Scalars:
        task = self.task
        along = along_full_gradient(model, task.train_images, self.labels.given, white=task.white) > 0
        return {f"{name}_along": along[index].double().mean() for name, index in self.parts.items()}

    def _watched_row(self, train_logits: Tensor) -> Scalars:
        f = probabilities(train_logits[self.watched])
        column = torch.zeros_like(self.watched) if f.shape[1] == 1 else self.labels.given[self.watched]
        values = f.gather(1, column.unsqueeze(1)).squeeze(1)
        return {f"watched_{k}": value for k, value in enumerate(values)}


def parts(labels: NoisyLabels) -> dict[str, Tensor]:
    """Positions of the clean and of the noisy samples: a mask would be counted out anew at each use."""
    return {"clean": (~labels.is_noisy).nonzero().squeeze(1), "noisy": labels.is_noisy.nonzero().squeeze(1)}


def _outputs(model: nn.Module, images: Tensor, white: float) -> Tensor:
    chunk = images_at_once(model, pixels(images[:1], white))
    return all_logits(model, (pixels(some, white) for some in images.split(chunk)))


def sample_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Logistic loss for ``[n, 1]`` logits, cross-entropy for ``[n, C]`` (§ 2); ``[n]``."""
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction="none")
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def predictions(logits: Tensor) -> Tensor:
    """Predicted labels, int64 ``[n]``; a logit of exactly 0 predicts class 0."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def _errors(
    train_logits: Tensor, given: Tensor, parts: dict[str, Tensor], test_logits: Tensor, test_labels: Tensor
) -> Scalars:
    wrong = (predictions(train_logits) != given).double()
    loss = sample_losses(train_logits, given).double()
    # |f - y| for two classes, the Euclidean norm of the residual vector for more (§ 5 leaves it open)
    residual = (probabilities(train_logits) - targets(given, train_logits.shape[1])).norm(dim=1).double()
    row = {"train_error": wrong.mean(), "train_loss": loss.mean()}
    for name, index in parts.items():
        row[f"{name}_error"] = wrong[index].mean()
        row[f"{name}_loss"] = loss[index].mean()
        row[f"{name}_residual"] = residual[index].mean()
    row["test_error"] = (predictions(test_logits) != test_labels).double().mean()
    row["test_loss"] = sample_losses(test_logits, test_labels).double().mean()
    return row


def _residuals_l1(train_logits: Tensor, given: Tensor, parts: dict[str, Tensor]) -> Scalars:
    residual = (probabilities(train_logits) - targets(given, train_logits.shape[1])).abs().sum(1).double()
    return {f"{name}_residual_l1": residual[index].mean() for name, index in parts.items()}


def _dominance(measured: SubsetGradients, classes: int) -> Scalars:
    row: Scalars = {}
    logs = []
    for c in range(classes):
        clean, noise = measured.gradients.get(("clean", c)), measured.gradients.get(("noise", c))
        if clean is None or noise is None:  # no noise in this class: no ratio
            continue
        norm_clean, norm_noise = clean.norm(), noise.norm()
        ratio = norm_clean / norm_noise
        logs.append(ratio.log())
        row |= {
            f"norm_clean_{c}": norm_clean,
            f"norm_noise_{c}": norm_noise,
            f"ratio_{c}": ratio,
            f"cos_noise_clean_{c}": cosine_tensor(noise, clean),
        }
    if logs:
        row["ratio"] = torch.stack(logs).mean().exp()
    return row


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Length of ``part`` along ``whole``, in lengths of ``whole``."""
    return part @ whole / (whole @ whole)


def _sums(measured: SubsetGradients) -> Scalars:
    """Sums over both classes: alpha, and the full gradient against the ground-truth one (Eqs. 10 to 12)."""
    total = {kind: [g for (k, _), g in measured.gradients.items() if k == kind] for kind in ("clean", "noise")}
    if not total["noise"]:
        return {}
    clean, noise = sum(total["clean"]), sum(total["noise"])
    row = {"alpha": noise.norm() / clean.norm(), "cos_noise_clean": cosine_tensor(noise, clean)}
    if measured.truth:
        full, truth = clean + noise, clean + sum(measured.truth.values())
        row |= {"cos_truth": cosine_tensor(full, truth), "step_factor": _share(full, truth)}
        for c, noise_truth in measured.truth.items():
            clean_c = measured.gradients["clean", c]
            truth_c = clean_c + noise_truth
            along = _share(clean_c, truth_c)
            row |= {f"cos_clean_truth_{c}": cosine_tensor(clean_c, truth_c), f"truth_share_{c}": along}
    return row
