"""nbval with numbers compared as numbers.

Text must be equal with its numbers masked; each number must be close to the
kept one, within the tolerance of the cell's metadata ``nbval: {"tol": [relative,
absolute]}`` (1e-6 and 1e-9 without, which is exact for what is printed). A
cell that was never executed fails, and one that states a tolerance although
its claims are replayed from records: those come out the same everywhere.
"""

import math
import re

import pytest

from lib.press.show import CLAIM, PROVENANCE

nbval = pytest.importorskip("nbval.plugin")

NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w])")
CODE = re.compile(
    r"code (?:unknown|[0-9a-f]+)(?: and (?:unknown|[0-9a-f]+))* \((?:[a-z]+ )*(?:by )?(?:today's |older )?code[^)]*\)"
)  # a remark
DEFAULT = (1e-6, 1e-9)

_compare_outputs = nbval.IPyNbCell.compare_outputs
_runtest = nbval.IPyNbCell.runtest


def same(kept: str, found: str, relative: float, absolute: float) -> bool:
    """Whether two texts agree: words to the letter, numbers within tolerance; which code made them is a remark."""
    kept, found = CODE.sub("code", kept), CODE.sub("code", found)
    if NUMBER.sub("#", kept) != NUMBER.sub("#", found):
        return False
    pairs = zip(NUMBER.findall(kept), NUMBER.findall(found), strict=True)
    return all(math.isclose(_value(a), _value(b), rel_tol=relative, abs_tol=absolute) for a, b in pairs)


def _value(text: str) -> float:
    return float(text.replace("−", "-"))


def _settle(found: dict, kept: dict, tolerance: tuple[float, float]) -> None:
    """Put the kept text in place of one that agrees with it, so that nbval sees no difference."""
    for key, value in kept.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            _settle(found[key], value, tolerance)
        elif isinstance(value, str) and isinstance(found.get(key), str) and same(value, found[key], *tolerance):
            found[key] = value


def compare_outputs(self, test, ref, skip_compare=None):
    """Compare a cell's outputs, numbers within the cell's tolerance; where a figure's numbers come from is a remark."""
    test, ref = ([one for one in some if PROVENANCE not in one.get("metadata", {})] for some in (test, ref))
    tolerance = tuple(self.cell.metadata.get("nbval", {}).get("tol", DEFAULT))
    for found, kept in zip(test, ref, strict=False):
        _settle(found, kept, tolerance)
    return _compare_outputs(self, test, ref, skip_compare)


def runtest(self):
    """Run a cell's test; one that was never executed has nothing to compare with, and fails."""
    if self.cell.execution_count is None and self.cell.source.strip():
        self.raise_cell_error("never executed: no kept output to compare with")
    claims = [output.metadata[CLAIM] for output in self.cell.get("outputs", []) if CLAIM in output.get("metadata", {})]
    if "tol" in self.cell.metadata.get("nbval", {}) and claims and not any(claim["live"] for claim in claims):
        self.raise_cell_error("a tolerance, although its claims are replayed from records: they are compared exactly")
    _runtest(self)


nbval.IPyNbCell.compare_outputs = compare_outputs
nbval.IPyNbCell.runtest = runtest
