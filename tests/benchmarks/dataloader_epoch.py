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


class SevenOrNine(Dataset):
    """Two classes of MNIST, relabelled 0 and 1, each image transformed when asked for."""

    def __init__(self, folder: Path, train: bool) -> None:
        to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
        self.base = torchvision.datasets.MNIST(str(folder), train=train, transform=to_input)
        self.index = [i for i, label in enumerate(self.base.targets.tolist()) if label in (7, 9)]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int):
        image, label = self.base[self.index[i]]
        return image, torch.tensor(int(label == 9))


class WithNoise(Dataset):
    """Given label, true label, flag and position beside each image."""

    def __init__(self, base: SevenOrNine, noise_rate: float) -> None:
        self.base = base
        self.true = torch.stack([base[i][1] for i in range(len(base))])
        self.flag = torch.zeros(len(base), dtype=torch.bool)
        self.flag[torch.randperm(len(base))[: int(noise_rate * len(base))]] = True
        self.given = torch.where(self.flag, 1 - self.true, self.true)

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, i: int):
        return self.base[i][0], self.given[i], self.true[i], self.flag[i], i


class DataLoaderEpoch:
    """Call `run` for one epoch of training and evaluation."""

    def __init__(self, folder: Path, batch_size: int = 256) -> None:
        self.train = DataLoader(WithNoise(SevenOrNine(folder, True), 0.4), batch_size=batch_size, shuffle=True)
        self.test = DataLoader(SevenOrNine(folder, False), batch_size=batch_size)
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1)
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.loss = nn.BCEWithLogitsLoss()

    def run(self) -> dict[str, float]:
        self.model.train()
        for images, given, *_ in self.train:
            self.optimizer.zero_grad()
            self.loss(self.model(images), given.float().unsqueeze(1)).backward()
            self.optimizer.step()
        return {f"train_{k}": v for k, v in self._evaluate(self.train).items()} | self._evaluate(self.test)

    @torch.no_grad()
    def _evaluate(self, loader: DataLoader) -> dict[str, float]:
        self.model.eval()
        each = nn.BCEWithLogitsLoss(reduction="none")
        sums = dict.fromkeys(("loss", "right", "count", "clean_loss", "noisy_loss", "clean_right", "noisy_right"), 0.0)
        residuals = {"clean": 0.0, "noisy": 0.0}
        samples: list[tuple[int, bool, float]] = []
        for batch in loader:
            images, labels = batch[0], batch[1]
            logits = self.model(images)
            losses = each(logits, labels.float().unsqueeze(1)).squeeze(1)
            right = (logits.squeeze(1) > 0).long() == labels
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
                residuals[name] += (logits[chosen].squeeze(1).sigmoid() - labels[chosen].float()).abs().sum().item()
        proxies = [sum(loss for _, noisy, loss in samples if noisy == side) for side in (False, True)]
        return sums | {f"{k}_residual": v for k, v in residuals.items()} | {"clean": proxies[0], "noisy": proxies[1]}
