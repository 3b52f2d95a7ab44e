"""Progress bars where tqdm is installed, and words that do not break them."""

import os
from collections.abc import Iterable

try:
    from tqdm.auto import tqdm
except ImportError:  # a bare GPU machine
    tqdm = None

NO_NUMBERS = True


def bar(iterable: Iterable, description: str, unit: str, show: bool = True) -> Iterable:
    """The same items, with a progress bar unless it is switched off.

    tqdm's bars in notebooks do not heed tqdm's own switch, the environment
    variable TQDM_DISABLE; this one does.
    """
    if tqdm is None:
        return iterable
    return tqdm(iterable, desc=description, unit=unit, leave=False, disable=not show or "TQDM_DISABLE" in os.environ)


def say(text: str) -> None:
    """Print a line beside whatever bars there are."""
    if tqdm is None:
        print(text)
    else:
        tqdm.write(text)
