"""The verbs ``suspects`` and ``relabel``: from files to table, noise and gallery, and from marks to labels."""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from ..files import atomic
from ..train import Machine
from ..words import count
from .cleaned import cleaned_labels, read_marks, relabelled
from .columns import from_texts
from .early_stop import Recipe
from .features import asks_for_training, judge_features
from .gallery import LIMIT, write_gallery
from .judgement import judge
from .pretrained import SENTENCES, Extractor, check_network, check_texts, extracted, image_network, text_network
from .probabilities import judge_probabilities
from .read import Labelled
from .report import Suspects
from .sources import read_samples
from .tables import TABLES, read_table
from .tangents import TAIL


def print_line(text: str) -> None:
    """Print at once; what the terminal's encoding has no sign for is spelt out, \\u and a number."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def find_suspects(
    source: str | Path,
    *,
    out: str | Path = "suspects",
    overwrite: bool = False,
    image_column: str | None = None,
    label_column: str | None = None,
    root: str | Path | None = None,
    text_column: str | None = None,
    features: str | None = None,
    weights: str | Path | None = None,
    network: str = Recipe.network,
    epochs: int = Recipe.epochs,
    held_out: float = Recipe.held_out,
    layers: int | None = None,
    seed: int = Recipe.seed,
    device: str = Recipe.device,
    limit: int = LIMIT,
    gallery: bool = True,
    tell: Callable[[str], object] = print_line,
) -> Suspects:
    """Judge the labels of ``source`` and write ``suspects.csv``, ``noise.json`` and ``suspects.html`` into ``out``.

    ``source``, columns and ``root`` are those of `read_samples`. ``features``: a pretrained network that looks at the
    images (`image_network`, with ``weights``), or at the texts of a table's ``text_column`` (`text_network`); what it
    saw is kept in ``out``, and not computed twice. ``network`` to
    ``held_out``, ``seed`` and ``device`` those of `Recipe`; ``layers`` is that of
    `judge` (None: its own default). Embeddings and columns of numbers train no network unless one of these asks for
    it: they are judged by regression (`judge_features`). ``limit``: suspects in the gallery, which is
    left out where ``gallery`` is False. ``tell`` gets what is said on the way,
    lines of text.
    What was interrupted, or could not be written, goes on from where it was if it is called again, with ``overwrite``
    where the table was written already.

    Raises ValueError for settings that cannot be meant, for an ``out`` that cannot be written to and for files that
    would be replaced without ``overwrite``, before anything is read; and whatever `read_samples` and `judge` raise.
    """
    recipe = Recipe(network=network, epochs=epochs, held_out=held_out, seed=seed, device=device)
    recipe.validate()
    layers = TAIL if layers is None else layers
    for name, number in (("layers", layers), ("limit", limit)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    if text_column and (image_column or root):
        raise ValueError(
            "image_column and root are those of a table that names images; this one's text column is named"
        )
    network_of = _pretrained(Path(source), text_column, features, weights, str(Machine(device).resolve()))
    out = Path(out)
    _try_to_write(out)
    paths = [out / name for name in ("suspects.csv", "noise.json", "suspects.html")[: 3 if gallery else 2]]
    there = [str(path) for path in paths if path.exists()]
    if there and not overwrite:
        raise ValueError(f"{', '.join(there)} would be replaced: say --overwrite, or name another --out")
    if text_column:
        samples = from_texts(Path(source), text_column, label_column or "label", network_of, out)
    else:
        samples = read_samples(source, image_column=image_column, label_column=label_column, root=root)
    tell("\n".join([samples.describe(), *(f"- {note}" for note in samples.notes)]))
    judged = samples if network_of is None or text_column else _looked_at(samples, network_of, out)
    if network_of:
        tell(f"{judged.inputs.shape[1]} features by {features or SENTENCES}, kept in {out}")
    checkpoint = out / "checkpoint.pt"
    if samples.pred_probs is not None:
        found = judge_probabilities(samples)
    elif judged.embedded and not asks_for_training(recipe, layers):
        found = judge_features(judged, seed)
    else:
        found = judge(judged, recipe, layers=layers, checkpoint=checkpoint)
    for note in found.notes[len(samples.notes) :]:
        tell(f"- {note}")
    if overwrite:  # a gallery of other labels would stay beside this table
        (out / "suspects.html").unlink(missing_ok=True)
    found.save(out)
    tell("\n".join(found.lines()))
    if gallery:
        try:
            shown = write_gallery(found.table, samples, paths[2], summary=found.lines(), limit=limit)
        except KeyboardInterrupt:
            tell("The table is written, the gallery is not: add --overwrite to have both anew")
            raise
        tell(f"gallery of {shown}: {paths[2]}")
    checkpoint.unlink(missing_ok=True)
    tell(f"table: {paths[0]}\nnoise: {paths[1]}")
    return found


def relabel(
    decisions: str | Path,
    *,
    suspects: str | Path = "suspects",
    table: str | Path | None = None,
    label_column: str = "label",
    image_column: str = "image",
    out: str | Path | None = None,
    overwrite: bool = False,
    tell: Callable[[str], object] = print_line,
) -> pd.DataFrame:
    """Write labels that are corrected by the gallery's marks; gives the table that was written.

    ``decisions``: the gallery's ``decisions.csv``. ``suspects``: the folder that `find_suspects` wrote. ``table``: the
    .csv, .tsv or .parquet that was judged, to be written anew with its labels corrected (`relabelled`); None: written
    are the columns ``index`` and ``label`` (`cleaned_labels`). ``out``: where to (None: ``labels.csv`` in the folder
    of suspects, or the table's name with "-relabelled", beside it). ``tell`` gets what is said.

    Raises FileNotFoundError for files that are not there, and ValueError for an ``out`` that would be replaced without
    ``overwrite``, or is one of the files that are read, and for what the two functions refuse.
    """
    judged, decisions = Path(suspects) / "suspects.csv", Path(decisions)
    table = None if table is None else Path(table)
    default = Path(suspects) / "labels.csv" if table is None else table.with_stem(f"{table.stem}-relabelled")
    out = default if out is None else Path(out)
    _check_files(judged, decisions, table, out, overwrite)
    marks = read_marks(decisions)
    labels = cleaned_labels(judged, marks)  # refuses marks of other suspects
    if table is None:
        written = labels.rename_axis("index").reset_index()
    else:
        written = relabelled(read_table(table), marks, label_column, image_column)
    if written.empty:
        raise ValueError("every sample was marked as wrong without a suggestion: no label would be left")
    with atomic(out) as part:
        if out.suffix.lower() == ".parquet":
            written.to_parquet(part)
        else:
            written.to_csv(part, sep=TABLES[out.suffix.lower()], index=False, encoding="utf-8")
    wrong = marks["decision"] == "wrong"
    unknown = int((wrong & (marks["predicted_label"] == marks["given_label"])).sum())
    tell(
        f"{count(len(written), 'label')}: {int(wrong.sum()) - unknown} changed, {int((~wrong).sum())} looked at and "
        f"kept; left out: {count(unknown, 'sample')}, wrong without a suggestion\nlabels: {out}"
    )
    return written


def _check_files(judged: Path, decisions: Path, table: Path | None, out: Path, overwrite: bool) -> None:
    """Raise FileNotFoundError and ValueError as `relabel` says."""
    for path, hint in (
        (judged, "name the folder that `suspects` wrote by --suspects"),
        (decisions, "it is what *Download marks* in the gallery gives"),
        *([] if table is None else [(table, "--table names the table that was judged")]),
    ):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is {'no file' if path.exists() else 'not there'}: {hint}")
        if out.resolve() == path.resolve():
            raise ValueError(f"{out} is what is read: name another --out")
    for path in (out, *([] if table is None else [table])):
        if path.suffix.lower() not in TABLES:
            raise ValueError(f"{path}: tables are {', '.join(TABLES)}")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} would be replaced: say --overwrite, or name another --out")


def _pretrained(
    source: Path, text_column: str | None, features: str | None, weights: str | Path | None, device: str
) -> Callable[[], Extractor] | None:
    """What gives the network that turns samples into features, if one is asked for: what it fetches can wait.

    Raises ValueError for what does not go with it, and for a network that there is not.
    """
    if weights is not None and (text_column or not features):
        raise ValueError("weights are those of a network for images: name it by --features")
    if text_column:
        if source.suffix.lower() not in TABLES:
            raise ValueError(f"a text column is one of a .csv, .tsv or .parquet table; {source} is none")
        check_texts()
        return lambda: text_network(features or SENTENCES, device)
    if not features:
        return None
    if weights is not None:  # nothing to fetch, and much that may not fit
        ready = image_network(features, weights, device)
        return lambda: ready
    check_network(features)
    return lambda: image_network(features, None, device)


def _looked_at(samples: Labelled, network_of: Callable[[], Extractor], out: Path) -> Labelled:
    """The same samples as a network sees them. ValueError where they are no images."""
    if samples.embedded or samples.pred_probs is not None:
        raise ValueError("features are taken of images; these are numbers already: leave --features out")
    return replace(samples, inputs=torch.from_numpy(extracted(samples.inputs, network_of(), out)))


def _try_to_write(folder: Path) -> None:
    """Raise ValueError where nothing can be written into ``folder``; leave no trace where it can."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder by --out")
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        raise ValueError(f"nothing can be written into {folder} ({error}); name another folder by --out") from error
    finally:
        for place in missing:
            if place.is_dir():
                place.rmdir()
