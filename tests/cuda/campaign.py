"""Settings of a campaign, and results that are kept one by one: killed at any moment, the same command goes on."""

import json
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from lib.files import atomic
from lib.train import Machine
from tests.cuda.roofline import Rates, sync

Result = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """Where and how a campaign runs."""

    out: Path  # results: a JSON file for each step, and records.zip
    data: Path  # the data folder: data sets, unfinished runs
    device: torch.device
    dry: bool = False  # tiny sizes
    seconds: float = math.inf  # no measurement is begun that is expected to end later
    tf32: bool = False  # whether float32 products of recorded runs are rounded to ten bits, which is said with them
    worker: int | None = None  # which of several processes this is, that share the runs of a step
    begun: float = field(default_factory=time.monotonic)

    def pick(self, full: Any, tiny: Any) -> Any:
        """One of two sizes."""
        return tiny if self.dry else full

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.seconds - (time.monotonic() - self.begun)

    @property
    def machine(self) -> Machine:
        """For `lib`'s own runs."""
        return Machine(self.device.type, tf32=self.tf32)


class Step:
    """The results of one step: one file, replaced whole after each."""

    def __init__(self, settings: Settings, name: str) -> None:
        of = "" if settings.worker is None else f".{settings.worker}"
        self.settings, self.path = settings, settings.out / f"{name}{of}.json"
        self.results: dict[str, Result] = read(self.path)
        self.failed: list[str] = []
        self.waiting: list[str] = []  # begun neither now nor before: there was no time

    def done(self, what: str) -> bool:
        """Whether there is a result, and not a failure."""
        return what in self.results and "error" not in self.results[what]

    def measure(
        self, what: str, function: Callable[[], Result], *, expected: float | None = None, takes: float | None = None
    ) -> Result | None:
        """Run ``function`` unless its result is there, keep it and print a line; None where there is none.

        ``expected`` are the seconds that operations and bytes cost at the card's rates, for what the result calls
        ``seconds``; ``takes`` (by default the same) those of the whole call, with which it fits into the time or not.
        A failure is kept as one and the campaign goes on.
        """
        if self.done(what):
            print(f"{what:<66} done before", flush=True)
            return self.results[what]
        takes = expected if takes is None else takes
        if max(takes or 0.0, 0.0) > self.settings.left:
            self.waiting.append(what)
            print(f"{what:<66} waits: about {takes:.0f} s needed, {self.settings.left:.0f} s left", flush=True)
            return None
        begun = time.perf_counter()
        try:
            found = function()
            sync(self.settings.device)
        except Exception as error:  # whatever it is: the time on a card is short, and the next one may do
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
            self.failed.append(what)
        if self.settings.dry:  # goals are a card's
            found = {name: value for name, value in found.items() if name not in ("goal", "met")}
        found = {"seconds": time.perf_counter() - begun} | found | {"device": device_name(self.settings.device)}
        if expected is not None and "error" not in found:
            seconds = max(found["seconds"], 1e-3)  # a record's are rounded, and may be none
            found |= {"expected": expected, "share": expected / seconds}
        self.keep(what, found)
        print(line(what, found), flush=True)
        return found

    def keep(self, what: str, found: Result) -> None:
        """Add a result, on disk too."""
        self.results[what] = found
        with atomic(self.path) as part:
            part.write_text(json.dumps(self.results, indent=1), encoding="utf-8")


def read(path: Path) -> dict[str, Result]:
    """What is there; nothing for no file. ValueError for one that is no table of results."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no table of results")
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): move it away, and its step is measured anew") from error
    return found


def rates_of(settings: Settings) -> Rates:
    """The card's rates as the step `rates` measured them, or measured now; they are kept."""
    step = Step(replace(settings, worker=None), "rates")
    if not step.done("card"):
        step.keep("card", Rates.measured(settings.device, settings.pick(8192, 256)).as_dict())
    return Rates(**{name: step.results["card"][name] for name in Rates.__dataclass_fields__})


def line(what: str, found: Result) -> str:
    """A result in a line: seconds, expected seconds, the share of the rate, the goal and whatever else was found."""
    if "error" in found:
        return f"{what:<66} FAILED: {found['error']}"
    said = f"{found['seconds']:10.4f} s"
    if "expected" in found:
        said += f"  expected {found['expected']:.4f} s ({100 * found['share']:.0f} % of the rate)"
    shown = {k: v for k, v in found.items() if k not in ("seconds", "expected", "share", "device") and _short(v)}
    return f"{what:<66} {said}  {', '.join(f'{name} {_said(value)}' for name, value in shown.items())}".rstrip()


def _short(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def device_name(device: torch.device) -> str:
    """The card's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
