"""An epoch as it is usually written: torchvision transforms, a DataLoader, evaluation sample by sample.

It does what the earlier notebook's training loop does (its crash mended), in
code of our own: images decoded and normalised one by one, noise flags carried
through the loader, one pass to train, one over the training set and one over
the test set to evaluate, per-sample losses collected in lists. No gradients
are measured.
"""

from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class SomeClasses(Dataset):
    """Some classes of MNIST, relabelled from 0 on, each image transformed when asked for."""

    def __init__(self, folder: Path, train: bool, classes: tuple[int, ...], limit: int | None = None) -> None:
        self.number = {c: k for k, c in enumerate(classes)}
        to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
        self.base = torchvision.datasets.MNIST(str(folder), train=train, transform=to_input)
        self.index = [i for i, label in enumerate(self.base.targets.tolist()) if label in self.number][:limit]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int):
        image, label = self.base[self.index[i]]
        return image, torch.tensor(self.number[label])


class WithNoise(Dataset):
    """Given label, true label, flag and position beside each image."""

    def __init__(self, base: SomeClasses, noise_rate: float) -> None:
        self.base = base
        self.true = torch.stack([base[i][1] for i in range(len(base))])
        self.flag = torch.zeros(len(base), dtype=torch.bool)
        self.flag[torch.randperm(len(base))[: int(noise_rate * len(base))]] = True
        other = (self.true + torch.randint(1, len(base.number), self.true.shape)) % len(base.number)
        self.given = torch.where(self.flag, other, self.true)

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, i: int):
        return self.base[i][0], self.given[i], self.true[i], self.flag[i], i


def fully_connected() -> nn.Module:
    """784-512-512-1."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1)
    )


def padded_cnn() -> nn.Module:
    """The CNN as the earlier notebook has it, its convolutions padded."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 14 * 14, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


class DataLoaderEpoch:
    """Call `run` for one epoch of training and evaluation."""

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        classes: tuple[int, ...],
        *,
        noise_rate: float,
        batch_size: int,
        limit: int | None = None,
    ) -> None:
        self.train = DataLoader(
            WithNoise(SomeClasses(folder, True, classes, limit), noise_rate), batch_size=batch_size, shuffle=True
        )
        self.test = DataLoader(SomeClasses(folder, False, classes), batch_size=batch_size)
        self.model = model
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.binary = len(classes) == 2

    def _losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.binary:
            return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")
        return nn.functional.cross_entropy(logits, labels, reduction="none")

    def run(self) -> dict[str, float]:
        self.model.train()
        for images, given, *_ in self.train:
            self.optimizer.zero_grad()
            self._losses(self.model(images), given).mean().backward()
            self.optimizer.step()
        return {f"train_{k}": v for k, v in self._evaluate(self.train).items()} | self._evaluate(self.test)

    @torch.no_grad()
    def _evaluate(self, loader: DataLoader) -> dict[str, float]:
        self.model.eval()
        sums = dict.fromkeys(("loss", "right", "count", "clean_loss", "noisy_loss", "clean_right", "noisy_right"), 0.0)
        residuals = {"clean": 0.0, "noisy": 0.0}
        samples: list[tuple[int, bool, float]] = []
        for batch in loader:
            images, labels = batch[0], batch[1]
            logits = self.model(images)
            losses = self._losses(logits, labels)
            right = ((logits[:, 0] > 0).long() if self.binary else logits.argmax(1)) == labels
            f = logits[:, 0].sigmoid() if self.binary else logits.softmax(1).gather(1, labels[:, None])[:, 0]
            residual = (f - (labels.float() if self.binary else 1)).abs()
            sums["loss"] += losses.mean().item() * len(images)
            sums["right"] += right.sum().item()
            sums["count"] += len(images)
            if len(batch) == 2:
                continue
            flag, position = batch[3], batch[4]
            samples += list(zip(position.tolist(), flag.tolist(), losses.tolist(), strict=True))
            for name, chosen in (("clean", ~flag), ("noisy", flag)):
                sums[f"{name}_loss"] += losses[chosen].sum().item()
                sums[f"{name}_right"] += right[chosen].sum().item()
                residuals[name] += residual[chosen].sum().item()
        proxies = [sum(loss for _, noisy, loss in samples if noisy == side) for side in (False, True)]
        return sums | {f"{k}_residual": v for k, v in residuals.items()} | {"clean": proxies[0], "noisy": proxies[1]}
