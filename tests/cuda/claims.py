"""Verdicts on the paper's claims in one precision or another: do they change?"""

from dataclasses import replace

import numpy as np

from lib.experiments import Experiment
from lib.press import rule
from lib.records import run_now
from lib.runs import Runs
from lib.train import Machine
from tests.cuda.campaign import Result, Settings


def steadiness(values: np.ndarray) -> float:
    """Net fall over the sum of all changes."""
    changes = np.diff(values)
    return float(-changes.sum() / max(np.abs(changes).sum(), 1e-12))


def verdicts(runs: Runs, noise_rate: float) -> dict[str, str]:
    """Outcomes of the paper's claims on the early stage (the chapters on binary dynamics and on many classes)."""
    start, best = runs.wide("noisy_error").iloc[0].to_numpy(), runs.at_early_stop("test_error")
    ratio = np.log(runs.at_early_stop("ratio"))
    last = runs.wide("test_error").iloc[-1].to_numpy()
    parts = {
        "the noisy error rises towards 1": rule.towards(
            runs.each(lambda r: r.until_stop("noisy_error").max()), 1, start
        ),
        "the clean error keeps falling": rule.equal(runs.each(lambda r: steadiness(r.until_stop("clean_error"))), 1, 0),
        "the best test error is far below the noise rate": rule.towards(best, 0, noise_rate),
        "the test error grows later": rule.above(last, best),
        "the ratio falls to about 1": rule.about(ratio, 0, np.log(runs.wide("ratio").iloc[0].to_numpy())),
    }
    return {name: part.outcome for name, part in parts.items()}


def claims(settings: Settings, one: Experiment, machine: Machine, before: Result | None) -> Result:
    """Verdicts over three seeds, and which of them differ from those ``before``, in float32."""
    if settings.dry:
        one = replace(one, train=replace(one.train, epochs=3))
    runs = Runs(run_now(replace(one, seed=s), machine=machine, folder=settings.data, resume=False, progress=False)
                for s in range(3))  # fmt: skip
    found = verdicts(runs, one.noise.noise_rate)
    changed = [name for name, outcome in found.items() if before and outcome != before["verdicts"][name]]
    return {"verdicts": found, "changed": ", ".join(changed) or "none", "met": not changed} | {
        name: float(np.mean(runs.at_early_stop(name))) for name in ("test_error", "noisy_error", "ratio")
    }
