"""The playground: a network that is trained in the reader's browser, with what it needs beside the page."""

import base64
import shutil
from pathlib import Path

import numpy as np

STATIC = Path(__file__).parent / "static"
FOLDER = "playground"  # of scripts and style, in the page's _static
DATA = "digits.js"


def digits() -> str:
    """scikit-learn's digits as base64: five bits a pixel (0 to 16), all images, then their labels.

    ``decode`` of engine.js reads it.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    values = np.concatenate([images.ravel(), labels]).astype(np.uint8)
    bits = np.unpackbits(values[:, None], axis=1)[:, 3:]
    return base64.b64encode(np.packbits(bits.ravel()).tobytes()).decode()


def write_scripts(folder: Path) -> None:
    """Scripts, style and data to a new folder: classic scripts, since a page without a server may load no other."""
    shutil.copytree(STATIC, folder)
    source = "/* scikit-learn's digits (UCI, E. Alpaydin and C. Kaynak, CC BY 4.0), by lib/site/playground.py */\n"
    text = f'{source}const PLAYGROUND_DIGITS =\n  "{digits()}";\n'
    (folder / DATA).write_text(text, encoding="utf-8")
