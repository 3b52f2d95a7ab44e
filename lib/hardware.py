"""What this machine has: its processor and its graphics cards. Needs nothing but Python."""

import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path

NO_NUMBERS = True


@cache
def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cards() -> list[str]:
    """Numbers or names of the graphics cards that this process may use, as CUDA_VISIBLE_DEVICES would list them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [card.strip() for card in named.split(",") if card.strip() not in ("", "-1")]
    return [number for number, _ in _listed_cards()]


def card_name(card: str) -> str:
    """What the driver calls a card; the number alone where it does not say."""
    return dict(_listed_cards()).get(card, f"card {card}")


@cache
def _listed_cards() -> list[tuple[str, str]]:
    command = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [(line[1], line[2].strip()) for line in map(re.compile(r"(\d+), (.+)").match, listed.splitlines()) if line]
