"""Where a run's numbers come from: what is written beside them."""

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import torch

from . import __version__
from .experiments import Outcome, Recordable, as_dict
from .hardware import processor
from .paths import ROOT
from .runs import code_of
from .train import Machine
from .words import count

NO_NUMBERS = True


def provenance_of(experiment: Recordable, machine: Machine, outcome: Outcome) -> dict[str, Any]:
    """What a record says of its run: settings, device, date, seconds, versions, and the code's identity."""
    code = code_of(experiment)
    return {
        "key": experiment.key,
        "kind": experiment.kind,
        "settings": as_dict(experiment),
        "device": device_name(machine.resolve(), outcome.threads),
        "compile": machine.compile,
        "channels_last": machine.channels_last,
        "tf32": machine.tf32,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(outcome.seconds, 1),
        "versions": {
            "book": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "identity": code.id,
        "parts": dict(code.parts),
        "commit": commit(),
    }


def device_name(device: torch.device, threads: int) -> str:
    """A name to print: the card's, or the processor's with the threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()} CPU ({count(threads, 'thread')})"


@cache
def commit() -> str | None:
    """The commit of this checkout, with "-dirty" if files differ from it; None where there is no git.

    As it was when first asked: ask before a run, for others may commit while it takes its hours.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
