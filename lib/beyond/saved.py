"""Networks on disk: trained along the first part of a path and kept; read again, and led along the rest of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
from .two_gradients import Dual, Member, follow


class WrongCheckpoint(ValueError):
    """A checkpoint holds another architecture, or is no checkpoint."""


def save_network(path: Path, model: ModelConfig, network: nn.Sequential, about: dict[str, float]) -> None:
    """Write a network whole, with the architecture it has and numbers about it."""
    state = {"architecture": _architecture(model), "about": about, "weights": network.state_dict()}
    write_state(path, state)


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
    """Lead the networks of a path up to where it begins afresh, and write each: "<name>_seed00.pt" and so on."""
    for members in path.blocks():
        dual = start(path, members, device)
        rows = follow(dual, members, path.stages[: path.afresh])
        if isinstance(dual.module, Single):
            networks = [dual.module.network]
        else:
            networks = networks_of(path, members, load(path.data))
            dual.module.copy_into(networks)
        for member, network, row in zip(members, networks, rows[-len(members) :], strict=True):
            about = {"seed": member.seed, "mix": row["mix"], "test_error": row["test_error"]}
            save_network(_file(folder, name, member), path.model, network, about)


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


def write_branches(folder: Path, mixes: Sequence[float], branches: Mapping[str, np.ndarray], summary: str) -> None:
    """Write errors ``[mixes, seeds]`` as "hysteresis.csv" and ".json", a row a point, and a text "summary.txt"."""
    tables = [
        pd.DataFrame(errors, index=pd.Index(mixes, name="mix"))
        .melt(ignore_index=False, var_name="seed", value_name="test_error")
        .assign(branch=name)
        for name, errors in branches.items()
    ]
    table = pd.concat(tables).reset_index()
    for file, text in (
        ("hysteresis.csv", table.to_csv(index=False)),
        ("hysteresis.json", table.to_json(orient="records", indent=1)),
        ("summary.txt", summary),
    ):
        with atomic(folder / file) as part:
            part.write_text(text, encoding="utf-8")


def _architecture(model: ModelConfig) -> str:
    norm = " with BatchNorm" if model.batch_norm else ""
    return f"{model.kind} {'x'.join(map(str, model.widths))} {model.activation}{norm}"


def _file(folder: Path, name: str, member: Member) -> Path:
    return Path(folder) / f"{name}_seed{member.seed:02}.pt"
