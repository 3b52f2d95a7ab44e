"""The first page: what was found, in three sentences with the ledger's numbers; the picture; how to cite.

The README begins with the same picture and sentences: ``python -m lib.site.front`` writes them anew.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.ticker import FuncFormatter
from PIL import Image

from ..paper.presets import binary
from ..paths import RECORDS, ROOT
from ..press import figures
from ..press.claims import Claim
from ..records import Run, Store
from .finish import CARD
from .ledger import Row, all_claims, rows

FOUND_MARK, CITE_MARK = "<!-- found -->", "<!-- cite -->"
README_PART = re.compile(r"(?<=<!-- found: written by python -m lib.site.front -->\n).*?(?=<!-- /found -->)", re.S)
PICTURE = ROOT / "book" / "static" / CARD
SEEDS = 5
PAPER = "[the paper](https://arxiv.org/abs/2306.02533)"


class FoundProblem(RuntimeError):
    """The first page tells of a claim that is not in the ledger; the message names it."""


def found(claims: Sequence[Claim], ledger: str = "ledger.md") -> list[str]:
    """What was found, as three sentences of Markdown.

    ``claims``: those of the kept chapters; ``ledger``: the address of the ledger's page, "" for no link. FoundProblem
    if a claim that a sentence rests on is gone.
    """
    table = [row for row in rows(claims) if row.claim.profile != "smoke"]
    return [_learned(table), _counted(table, ledger), _useful(table)]


def _learned(table: Sequence[Row]) -> str:
    claim = _claim(table, "02_binary_dynamics", "test-error-u")
    rate = binary(claim.profile).noise.noise_rate
    best, end = (_percent(claim.measured[name]) for name in ("early stop", "end"))
    told = f"of the training labels of two MNIST digits wrong, the test error falls to {best} and rises to {end} later"
    but = "" if claim.verdict == "holds" else ", which is not what the paper claims"
    return f"A network learns the right labels first: with {_share(rate)} {told}, as it learns the wrong ones{but}."


def _counted(table: Sequence[Row], ledger: str) -> str:
    verdicts = [row.claim.verdict for row in table if row.of_the_paper]
    holds, partly, undecided, not_ = (verdicts.count(one) for one in ("holds", "partly", "undecided", "does not hold"))
    where = f"[{len(verdicts)} claims]({ledger})" if ledger else f"{len(verdicts)} claims"
    return (
        f"Of {where} of {PAPER} that were checked on recorded runs, {holds} hold, {partly} hold in part, {not_} do not "
        f"hold, and for {undecided} the seeds do not decide."
    )


def _useful(table: Sequence[Row]) -> str:
    ranks = _claim(table, "17_wrong_labels", "suspects-beat-rivals")
    passes = _claim(table, "17_wrong_labels", "one-training-not-five")
    share = _percent(next(iter(passes.measured.values())), digits=0)
    better = "ranks" if ranks.verdict == "holds" else "does not everywhere rank"
    return (
        "The same mechanism finds wrong labels: on MNIST, with wrong labels at random or between pairs of classes, its "
        f"score {better} them better than AUM and cleanlab do, after a single training (over all data sets, {share} of "
        "cleanlab's passes over the data)."
    )


def _claim(table: Sequence[Row], chapter: str, id: str) -> Claim:
    for row in table:
        if (row.claim.chapter, row.claim.id) == (chapter, id):
            return row.claim
    raise FoundProblem(
        f"the first page tells of the claim {id!r} of {chapter}, which is not in the ledger of kept runs"
    )


def _percent(values: Sequence[float], digits: int = 1) -> str:
    return f"{100 * sum(values) / len(values):.{digits}f} %"


def citation() -> str:
    """How to cite the book, as BibTeX, from CITATION.cff."""
    import yaml

    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    date = str(told["date-released"])
    fields = {
        "title": told["title"], "author": "{" + " and ".join(one["name"] for one in told["authors"]) + "}",
        "year": date[:4], "note": f"Version {told['version']}, {date}",
    }  # fmt: skip
    inside = "".join(f"  {name:<6} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{cleanprioritybook,\n{inside}}}\n"


def write_in(book: Path) -> None:
    """Write sentences and citation into the first page of a staged ``book`` folder."""
    page = book / "index.md"
    told = page.read_text(encoding="utf-8")
    sentences = "\n".join(f"- {one}" for one in found(all_claims()))
    told = told.replace(FOUND_MARK, sentences).replace(CITE_MARK, f"```bibtex\n{citation()}```")
    page.write_text(told, encoding="utf-8")


def readme(text: str, claims: Sequence[Claim]) -> str:
    """The README with today's sentences."""
    wrapped = [
        textwrap.fill(f"- {one}", 118, subsequent_indent="  ", break_on_hyphens=False) for one in found(claims, "")
    ]
    sentences = "\n".join(wrapped)
    return README_PART.sub(lambda _: f"{sentences}\n", text)


def card_runs() -> list[Run]:
    """The second chapter's recorded trainings on all images, one a seed."""
    store = Store(RECORDS)
    runs = [store.get(replace(binary("paper"), seed=seed)) for seed in range(SEEDS)]
    if None in runs:
        raise FileNotFoundError("the second chapter's recorded runs are gone: python -m lib records make 02")
    return [run for run in runs if run is not None]


def draw_card(runs: Sequence[Run], path: Path) -> None:
    """The first picture: errors of the second chapter's trainings, 1200 by 630 pixels."""
    plt, rate = figures.plt, runs[0].experiment.noise.noise_rate
    figure, (totals, subsets) = plt.subplots(1, 2, figsize=(12, 6.3), dpi=100, sharex=True, layout="constrained")
    curves = [
        (totals, "test_error", figures.TEST, "new images"),
        (subsets, "noisy_error", figures.NOISY, "wrong labels"),
        (subsets, "clean_error", figures.CLEAN, "right labels"),
    ]
    for axes, name, style, label in curves:
        values = pd.concat([run.history.set_index("epoch")[name] for run in runs], axis=1)
        figures.curve(axes, values, style, label)
        if axes is totals:
            mean = values.mean(axis=1)
    totals.set(ylim=(0, 0.7), title="Error on new images", xlabel="epoch")
    subsets.set(ylim=(0, 1.02), title="Error on training images, by label", xlabel="epoch")
    figures.level(totals, rate, f"{_share(rate)} of the labels are wrong", x=0.02)
    totals.annotate(
        f"lowest: {_share(mean.min())}", (mean.idxmin(), mean.min()), xytext=(0, 60), textcoords="offset points",
        ha="center", arrowprops={"arrowstyle": "->", "color": figures.INK},
    )  # fmt: skip
    figures.epoch_axis([totals, subsets], last=int(mean.index[-1]))
    for axes in (totals, subsets):
        figures.label_ends(axes)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _share(value)))
        for text in (*axes.texts, axes.title, axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_fontsize(15)
    figure.suptitle("Trained on wrong labels, a network learns the right ones first", fontsize=22)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    with Image.open(path) as drawn:  # few colours need few bytes
        small = drawn.convert("RGB").quantize(64)
    small.save(path, optimize=True)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def main() -> None:
    """Draw the picture and bring the README up to date."""
    draw_card(card_runs(), PICTURE)
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8"), all_claims()), encoding="utf-8")


if __name__ == "__main__":
    main()
