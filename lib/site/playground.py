"""The playground: a network that is trained in the reader's browser, and the picture for those who cannot."""

import base64
import shutil
from pathlib import Path

import numpy as np

from ..data import DataConfig
from ..experiments import Experiment
from ..models import ModelConfig
from ..noise import NoiseConfig
from ..observe import ObserveConfig
from ..paths import RECORDS
from ..press import figures
from ..records import Run, Store
from ..train import TrainConfig
from .render import rendered

STATIC = Path(__file__).parent / "static"
FOLDER = "playground"  # of scripts and style, among the site's static files
DATA, STILL = "digits.js", "still.png"
SCRIPTS = (DATA, "engine.js", "worker.js", "settings.js", "chart.js", "playground.js")  # in the order they need
WHOLE_MARK, SMALL_MARK = "<!-- playground -->", "<!-- small playground -->"
CREDIT = "scikit-learn's digits (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0)"
CAPTION = (
    "A recorded run with {rate:.0%} wrong labels. Upper panel: the error on test images. Lower panel: the error on "
    "training images with a right label (clean) and with a wrong one (noisy), each against the label it was given. "
    "In a browser with JavaScript you can train the network here yourself."
)
ALT = (
    "Two panels over epochs. The test error falls from one half to {best:.0%} at epoch {stop}, far below the noise "
    "rate of {rate:.0%}, and ends at {end:.0%}. The clean error falls to 0; the noisy error first rises to {peak:.0%}, "
    "then falls to {noisy:.0%}."
)


def digits() -> str:
    """scikit-learn's digits as base64: five bits a pixel (0 to 16), all images, then their labels.

    ``decode`` of engine.js reads it.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    values = np.concatenate([images.ravel(), labels]).astype(np.uint8)
    bits = np.unpackbits(values[:, None], axis=1)[:, 3:]
    return base64.b64encode(np.packbits(bits.ravel()).tobytes()).decode()


def write_in(book: Path, static: Path) -> None:
    """Write the playground into the pages of a staged ``book`` folder, and its files below ``static``.

    Scripts are classic ones and the data stand in one: a page without a server may load nothing else.
    """
    folder = static / FOLDER
    shutil.copytree(STATIC, folder)
    (folder / DATA).write_text(f'/* {CREDIT} */\nconst PLAYGROUND_DIGITS =\n  "{digits()}";\n', encoding="utf-8")
    run = still_run()
    draw_still(run, folder / STILL)
    for mark, name, whole in ((WHOLE_MARK, "playground.md", True), (SMALL_MARK, "index.md", False)):
        page = book / name
        told = page.read_text(encoding="utf-8")
        page.write_text(told.replace(mark, f"```{{raw}} html\n{markup(whole, run)}```"), encoding="utf-8")


def markup(whole: bool, run: Run, static: str = f"../_static/{FOLDER}") -> str:
    """The playground's HTML, with all controls or the small one; ``static`` is the folder of its files."""
    history, rate = run.history, run.experiment.noise.noise_rate
    best = history.loc[history["test_error"].idxmin()]
    told = {
        "rate": rate, "best": best["test_error"], "stop": int(best["epoch"]), "peak": history["noisy_error"].max(),
        "end": history["test_error"].iloc[-1], "noisy": history["noisy_error"].iloc[-1],
    }  # fmt: skip
    given = {"alt": ALT.format(**told), "caption": CAPTION.format(**told)}
    return rendered("playground.html.j2", whole=whole, static=static, scripts=SCRIPTS, **given)


def still_run() -> Run:
    """The first chapter's training at the playground's first settings, as it was recorded."""
    run = Store(RECORDS).get(
        Experiment(
            DataConfig("digits", classes=(7, 9)),
            NoiseConfig(0.4),
            ModelConfig(widths=(128, 128)),
            TrainConfig(lr=0.03, momentum=0.9, batch_size=32, epochs=200),
            ObserveConfig(watched=24),
        )
    )
    if run is None:
        raise FileNotFoundError("the first chapter's recorded runs are gone: python -m lib records make 01")
    return run


def draw_still(run: Run, path: Path) -> None:
    """The picture that stands where nothing can be trained."""
    table = run.history.set_index("epoch")
    figure, (totals, subsets) = figures.panels(2)
    figures.curve(totals, table[["test_error"]], figures.TEST, "test")
    figures.curve(subsets, table[["noisy_error"]], figures.NOISY, "noisy")
    figures.curve(subsets, table[["clean_error"]], figures.CLEAN, "clean")
    totals.set(ylabel="error", ylim=(0, 0.85))
    subsets.set(ylabel="error", ylim=(0, 1.02))
    figures.level(totals, run.experiment.noise.noise_rate, "noise rate δ", x=0.3)
    figures.epoch_axis([totals, subsets], last=int(table.index[-1]))
    for axes in (totals, subsets):
        figures.label_ends(axes)
    figure.savefig(path)
    figures.plt.close(figure)
