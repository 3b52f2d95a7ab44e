"""Networks on disk: trained along the first part of a path and kept; read again, and led along the rest of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..checkpoint import read_state, write_state
from ..data import load
from ..files import atomic
from ..models import ModelConfig
from ..records import history_frame
from .replicas import Single, together
from .scans import DualPath, networks_of, start
from .two_gradients import Dual, Member, follow, velocities

MARK = 0.10  # the original experiment calls two branches two if they lie further apart than this, in mid-window


class WrongCheckpoint(ValueError):
    """A checkpoint holds another architecture, or is no checkpoint."""


def save_network(
    path: Path,
    model: ModelConfig,
    network: nn.Sequential,
    about: dict[str, float],
    optimizer: dict[str, Any] | None = None,
) -> None:
    """Write a network whole, with the architecture it has, numbers about it, and the state of its optimizer."""
    state = {"architecture": _architecture(model), "about": about, "weights": network.state_dict()}
    write_state(path, state | ({} if optimizer is None else {"optimizer": optimizer}))


def load_network(path: Path, model: ModelConfig, network: nn.Sequential) -> dict[str, float]:
    """Read weights into a network; gives the numbers about it. WrongCheckpoint names what does not fit."""
    try:
        state = read_state(path)
        architecture = state["architecture"]
    except Exception as error:
        raise WrongCheckpoint(f"{Path(path).name} is no checkpoint of a network ({type(error).__name__})") from error
    if architecture != _architecture(model):
        raise WrongCheckpoint(f"{Path(path).name} holds {architecture}, not {_architecture(model)}")
    try:
        network.load_state_dict(state["weights"])
    except RuntimeError as error:
        raise WrongCheckpoint(f"{Path(path).name} does not fit images of this shape: {error}") from error
    return state["about"]


def train_and_save(path: DualPath, folder: Path, name: str, device: torch.device) -> None:
    """Lead the networks of a path up to where it begins afresh, and write each: "<name>_seed00.pt" and so on.

    A file holds the weights, the state of the optimizer as `torch.optim.SGD` has it, and seed, mix, noise rate
    and test error.
    """
    for members in path.blocks():
        dual = start(path, members, device)
        stages = path.stages[: path.afresh]
        rows = follow(dual, members, stages)
        if isinstance(dual.module, Single):
            networks = [dual.module.network]
        else:
            networks = networks_of(path, members, load(path.data))
            dual.module.copy_into(networks)
        found = zip(members, networks, rows[-len(members) :], velocities(dual), strict=True)
        for member, network, row, velocity in found:
            about = {column: row[column] for column in ("seed", "mix", "noise_rate", "test_error")}
            optimizer = _optimizer(path, network, velocity, stages[-1].lr)
            save_network(_file(folder, name, member), path.model, network, about, optimizer)


def _optimizer(path: DualPath, network: nn.Sequential, velocity: Sequence[torch.Tensor], lr: float) -> dict[str, Any]:
    """The state of an SGD that goes on with this momentum."""
    dual = path.dual
    sgd = torch.optim.SGD(network.parameters(), lr, momentum=dual.momentum, weight_decay=dual.weight_decay)
    for parameter, buffer in zip(network.parameters(), velocity, strict=True):
        sgd.state[parameter]["momentum_buffer"] = buffer
    return sgd.state_dict()


def sweep_saved(path: DualPath, folder: Path, name: str, device: torch.device) -> pd.DataFrame:
    """Read what `train_and_save` wrote and lead it along the rest of the path; columns as `follow` gives them.

    WrongCheckpoint where a file is missing or holds another network.
    """
    rows = []
    for members in path.blocks():
        networks = networks_of(path, members, load(path.data))
        for member, network in zip(members, networks, strict=True):
            load_network(_file(folder, name, member), path.model, network)
        dual = Dual(together(networks).to(device), path.dual, start(path, members, device).samples)
        rows += follow(dual, members, path.stages[path.afresh :], first=path.afresh)
    return history_frame(rows)


def label(branch: str, noise_rate: float) -> str:
    """What the files of a branch's networks are called after: "ordered_eta0.8"."""
    return f"{branch}_eta{noise_rate:g}"


def two_branches(gap: np.ndarray) -> str:
    """The original's verdict on gaps ``[seeds]`` in mid-window: "YES" if their mean is above `MARK`, "WEAK or NO"."""
    return "YES" if np.mean(gap) > MARK else "WEAK or NO"


Branches = Mapping[tuple[str, float], np.ndarray]  # under the branch, "ordered" or "collapsed", and the noise rate


def write_branches(folder: Path, mixes: Sequence[float], swept: Branches, before: Branches) -> None:
    """Write a sweep as "hysteresis.csv", a row a point, "hysteresis.json", an entry a network, and "summary.txt".

    ``swept`` are errors over rising mixes ``[mixes, seeds]``, ``before`` those before the sweep ``[seeds]``. An
    entry has, as in the original, ``seed``, ``eta``, ``branch``, ``init_error``, ``final_error`` and the
    ``trajectory`` in the order of the sweep: ordered networks are led up, collapsed ones down.
    """
    networks = []
    for (branch, rate), errors in swept.items():
        order = slice(None, None, 1 if branch == "ordered" else -1)
        for seed, error in enumerate(errors.T):
            points = zip(list(mixes)[order], error[order].tolist(), strict=True)
            trajectory = [{"lambda": float(mix), "error": value} for mix, value in points]
            networks.append(
                {"seed": seed, "eta": rate, "branch": branch, "init_error": float(before[branch, rate][seed]),
                 "final_error": trajectory[-1]["error"], "trajectory": trajectory}
            )  # fmt: skip
    rows = [
        {
            "eta": one["eta"],
            "branch": one["branch"],
            "seed": one["seed"],
            "mix": point["lambda"],
            "error": point["error"],
        }
        for one in networks
        for point in one["trajectory"]
    ]
    for file, text in (
        ("hysteresis.csv", pd.DataFrame(rows).to_csv(index=False)),
        ("hysteresis.json", json.dumps(networks, indent=1)),
        ("summary.txt", summary(mixes, swept)),
    ):
        with atomic(folder / file) as part:
            part.write_text(text, encoding="utf-8")


def summary(mixes: Sequence[float], swept: Branches) -> str:
    """For each noise rate the gap in mid-window (at 0.5 or the mix next to it), and the original's verdict on it."""
    middle = int(np.argmin(np.abs(np.asarray(mixes) - 0.5)))
    lines = []
    for rate in dict.fromkeys(rate for _, rate in swept):
        gap = swept["collapsed", rate][middle] - swept["ordered", rate][middle]
        lines.append(
            f"eta = {rate:g}: gap at lambda = {mixes[middle]:g}: {100 * gap.mean():.1f} % "
            f"(seeds: {100 * gap.min():.1f} to {100 * gap.max():.1f} %); two-branch structure: {two_branches(gap)}"
        )
    return "\n".join(lines) + "\n"


def _architecture(model: ModelConfig) -> str:
    norm = " with BatchNorm" if model.batch_norm else ""
    return f"{model.kind} {'x'.join(map(str, model.widths))} {model.activation}{norm}"


def _file(folder: Path, name: str, member: Member) -> Path:
    return Path(folder) / f"{name}_seed{member.seed:02}.pt"
