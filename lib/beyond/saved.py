"""Networks on disk."""

from pathlib import Path

from torch import nn

from ..checkpoint import read_state, write_state
from ..models import ModelConfig


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


def _architecture(model: ModelConfig) -> str:
    norm = " with BatchNorm" if model.batch_norm else ""
    return f"{model.kind} {'x'.join(map(str, model.widths))} {model.activation}{norm}"
