"""The book's verbs for a terminal: ``python -m lib --help``, or ``clean-priority --help`` where it is installed."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path

import click

from .paths import BUILD, DATA_VARIABLE, NOTEBOOKS, ROOT, data_folder, in_the_book

CORES = os.cpu_count() or 1
NUMBER = click.IntRange(min=1)
PATH = click.Path(path_type=Path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; its exit status. Errors that a user can mend are printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show stops no command
    try:
        return verbs.main(arguments, prog_name=_called(), standalone_mode=False) or 0
    except click.ClickException as mistake:
        mistake.show()
        return mistake.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _told("\nInterrupted. The same command goes on from the last checkpoint.", 130)
    except ModuleNotFoundError as missing:
        return _told(f"{missing} in {sys.executable}. Use the Python that `make install` makes: .venv/bin/python")
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        return _told(f"{type(error).__name__}: {error}")


def _told(text: str, status: int = 1) -> int:
    print(text, file=sys.stderr)
    return status


def _called() -> str:
    return f"python -m {__package__}" if Path(sys.argv[0]).name == "__main__.py" else Path(sys.argv[0]).name


def _name_data_folder(_context: click.Context, _option: click.Parameter, folder: str | None) -> None:
    if folder == "":
        raise click.BadParameter("it names no folder")
    if folder is not None:
        os.environ[DATA_VARIABLE] = str(Path(folder).expanduser().resolve())


data_option = click.option(  # before the verb or after it
    "--data", type=click.Path(file_okay=False), metavar="DIR", callback=_name_data_folder,
    expose_value=False, is_eager=True, help=f"Data folder (default: ${DATA_VARIABLE}, else a cache folder of yours).",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@data_option
def verbs() -> None:
    """The Clean-Priority book from a terminal."""


def verb(name: str, *, anywhere: bool = False) -> Callable[[Callable[..., int | None]], click.Command]:
    """A verb of the command line; one that is not for ``anywhere`` says so outside the book's folder."""

    def made(body: Callable[..., int | None]) -> click.Command:
        @wraps(body)
        def guarded(*given: object, **options: object) -> int:
            if not anywhere and not in_the_book():
                raise click.ClickException(
                    f"`{name}` needs the book's folder, with its notebooks and records. Clone the book and run "
                    f"`python -m lib {name}` there; `suspects`, `relabel` and `sweep` work anywhere"
                )
            return body(*given, **options) or 0

        return verbs.command(name)(data_option(guarded))

    return made


@verb("book")
@click.option("--repository", metavar="URL", help="The book's address, for launch and Colab buttons.")
@click.option("--branch", default="main", show_default=True, help="Branch that the buttons open.")
@click.option("--commit", default="HEAD", show_default=True, help="Commit that the Colab cell fetches.")
@click.option("--jobs", type=NUMBER, default=CORES, help="Chapters at a time (default: one a core).")
def book(repository: str | None, branch: str, commit: str, jobs: int) -> None:
    """Run every chapter live at smoke that changed, then build the site."""
    from .site.command import make_book

    make_book(repository, branch, commit, jobs)


@verb("pdf")
@click.option("--output", type=PATH, help="Of the file (default: _build/book.pdf).")
def pdf(output: Path | None) -> None:
    """Print the built book as one PDF; needs Chromium."""
    from .paths import BUILD
    from .site.pdf import make_pdf

    print(make_pdf(BUILD / "html", output or BUILD / "book.pdf"))


@verb("run")
@click.argument("chapters", nargs=-1, metavar="[CHAPTER]...")
@click.option("--profile", default="smoke", show_default=True, help="One that the chapter has, see `parameters`.")
@click.option("-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter.")
@click.option("--output", type=PATH, help="Of the executed notebooks (default: _build/runs/PROFILE).")
@click.option("--record", is_flag=True, help="Put what is trained into the book's records.")
@click.option("--script", is_flag=True, help="Plain Python in place of papermill; needs no Jupyter.")
@click.option("--jobs", type=NUMBER, default=CORES, help="Chapters at a time at smoke (default: one a core).")
def run(
    chapters: Sequence[str],
    profile: str,
    given: Sequence[tuple[str, str]],
    output: Path | None,
    record: bool,
    script: bool,
    jobs: int,
) -> int:
    """Run chapters, numbers or names (default: all), through papermill."""
    from .press import chapters as press
    from .site.ledger import summary

    if record and profile in ("smoke", "best"):
        raise ValueError("at smoke nothing is recorded, and best trains at smoke: name another profile by --profile")
    if script and output:
        raise ValueError("--script writes no notebooks: leave --output out")
    wanted = press.jobs(
        chapters, profile, given, (output or BUILD / "runs" / profile).resolve(), "record" if record else ""
    )
    if script:
        for job in wanted:
            print(job.path.stem, flush=True)
            press.run_script(job.path, job.given, mode=job.mode)
        return 0
    claims, failures = [], []
    for job, outcome in press.execute_many(wanted, jobs if profile == "smoke" else 1):
        if isinstance(outcome, press.ChapterFailed):
            print(f"{job.path.stem}\n  failed", flush=True)
            failures.append(outcome)
        else:
            print(f"{job.path.stem}\n  {job.output}", flush=True)
            claims += outcome
    if claims:
        print(f"\n{summary(claims)}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return int(bool(failures))


@verb("sweep", anywhere=True)
@click.argument("name", required=False, metavar="[SWEEP]")
@click.option("--plan", is_flag=True, help="List the points and why each would run; run nothing.")
@click.option("--scheduler", default="", metavar="ADDRESS", help="Of a running Dask cluster.")
@click.option("--cluster", type=PATH, metavar="FILE", help="YAML that names a Dask cluster to start: class, arguments.")
@click.option("--workers", type=NUMBER, metavar="N", help="Points at a time (default: one a core, or a card).")
@click.option("--threads", type=NUMBER, metavar="N", help="Of each point (default: cores shared out; 1 on a cluster).")
@click.option("--per-card", type=NUMBER, default=1, metavar="N", help="Points at a time on a graphics card.")
@click.option("--retries", type=int, default=2, show_default=True, help="Of a point whose kernel died.")
@click.option(
    "--store",
    type=PATH,
    metavar="DIR",
    help="(default: in the data folder sweeps/SWEEP, for a YAML of yours sweeps/SWEEP-DIGITS)",
)
@click.option("--table", type=PATH, metavar="FILE", help="Parquet (default: table.parquet in the store).")
@click.option("--publish", is_flag=True, help="Keep the table in book/sweeps, for the page of sweeps.")
@click.option("--open", is_flag=True, help="Write the page of results (results.html in the store) and open it.")
@click.option("--clean", is_flag=True, help="Remove what no sweep of the store wants; with --plan say what.")
def sweep(**options: object) -> int:
    """Run a notebook over a grid of parameters, here or on a cluster.

    SWEEP is one of notebooks/sweeps (list them by leaving it out) or a YAML file:

    \b
      notebook: single_run                  one condition (single_run, single_mix, single_penalty), a chapter,
                                            or the path of any papermill notebook from the YAML's folder;
                                            `parameters NOTEBOOK` says what it takes
      cwd: .                                where its kernels work, from the YAML's folder (default: beside it)
      title: ...                            a line for the page of sweeps
      parameters: {profile: smoke}          the same for all points
      grid:                                 the parts below are combined, each with each
        product: {noise_rate: [0.2, 0.4]}     every combination
        zip: {a: [1, 2], b: [3, 4]}           lists that go together
        list: [{a: 1, b: 3}, {a: 2}]          points one by one
        seeds: 5                              seed = 0 ... 4, or {parameter: NAME, count: 5, first: 0}
      collect: {claims: true, tables: true, glue: true}   each true, false or a list of names; left out: all of
                                            claims, lib.press.show.result and pandas tables that are shown
                                            ("table 1", "table 2"), and what scrapbook glued
      figure: {name: CLAIM or table, quantity: VALUE, x: PARAMETER, by: PARAMETER, panel: PARAMETER, ...}
                                            by: a curve each; panel: a panel each; xscale: log; ylabel, caption, alt

    A point that is in the store is not run again, unless its notebook, the code that it reaches or its files changed,
    or it failed. Kill a sweep at any moment: the same command goes on from the points that are done. Two may share a
    store. Exit status: 0 if every point is done, 1 if one failed or the sweep could not go on.

    \b
    examples:
    python -m lib sweep noise_level --plan     what would run, and why
    python -m lib sweep noise_level            on this machine: a worker a core, or a card
    python -m lib sweep noise_level --scheduler tcp://node7:8786     on any running Dask cluster
    python -m lib sweep noise_level --cluster slurm.yml --open       on one that it starts; then look at the results
    """
    from .sweeps.command import sweep_command

    return sweep_command(**options)


@verb("suspects", anywhere=True)
@click.argument("source", type=PATH)
@click.option(
    "--image-column", metavar="NAME", help="Of a table (default: image), or array of a .npz (default: images)."
)
@click.option(
    "--label-column", metavar="NAME", help="Of a table (default: label), or array of a .npz (default: labels)."
)
@click.option("--root", type=PATH, metavar="DIR", help="That paths in a .csv begin from (default: its own).")
@click.option(
    "--text-column", metavar="NAME", help="Of a table: texts, which sentence-transformers turns into features."
)
@click.option(
    "--features", metavar="NAME",
    help="A pretrained network that looks at the images: torchvision's NAME, or timm/NAME; of texts, a name or folder.",
)  # fmt: skip
@click.option("--weights", type=PATH, metavar="FILE", help="Of that network, a state dict (default: published ones).")
@click.option("--out", type=PATH, default=Path("suspects"), show_default=True, metavar="DIR")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote into --out.")
@click.option("--network", default="auto", show_default=True, help="auto, fcn, cnn or resnet9; auto: by the data.")
@click.option("--epochs", type=NUMBER, default=60, show_default=True, metavar="N", help="At most.")
@click.option(
    "--held-out", type=float, default=0.1, show_default=True, metavar="SHARE",
    help="Of the labels, not trained on: more of many labels, a better noise rate.",
)  # fmt: skip
@click.option("--layers", type=NUMBER, metavar="N", help="Last layers looked at (default: 7; 1: the last).")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--limit", type=NUMBER, default=2000, show_default=True, metavar="N", help="Of the gallery.")
@click.option("--no-gallery", "gallery", is_flag=True, flag_value=False, default=True, help="Write no suspects.html.")
def suspects(**options: object) -> None:
    """Find the wrong labels in your own data. SOURCE is one of

    \b
      a folder        with a folder of images for each class
      a table         .csv, .tsv or .parquet, with a column of image paths and one of labels; without paths, all
                      other columns are numbers that describe the sample
      a .npz          with arrays images (or embeddings, or inputs) and labels; with pred_probs, a model's own
                      out-of-sample probabilities [n, classes], these judge the labels and nothing is trained

    Of images, one network is trained on the labels as they are, and stops by itself; then every label is judged.
    Embeddings, columns of numbers, and what a pretrained network sees (--features, kept and gone on with where it was
    stopped) are judged without a training. Written into --out: suspects.csv (a row a sample, the most suspicious
    first), noise.json (noise rate and transition matrix, with intervals) and suspects.html (a gallery to look at,
    filter and mark in; one file). Stop it at any moment: the same command goes on from where it was. The verb
    `relabel` puts what was marked into the labels.

    \b
    examples:
    python -m lib suspects photographs/
    python -m lib suspects labels.csv --image-column file --label-column class --root photographs/
    python -m lib suspects photographs/ --features efficientnet_b0
    python -m lib suspects reviews.csv --text-column review --label-column stars
    python -m lib suspects embeddings.npz --out judged --no-gallery
    """
    from .suspects.command import find_suspects

    find_suspects(**options)


@verb("relabel", anywhere=True)
@click.argument("decisions", type=PATH)
@click.option(
    "--suspects", type=PATH, default=Path("suspects"), show_default=True, metavar="DIR", help="What `suspects` wrote."
)
@click.option("--table", type=PATH, metavar="FILE", help="That was judged: to be written anew, with these labels.")
@click.option("--label-column", metavar="NAME", default="label", show_default=True, help="Of that table.")
@click.option(
    "--image-column", metavar="NAME", default="image", show_default=True, help="Of that table, if it has one."
)
@click.option(
    "--out", type=PATH, metavar="FILE",
    help="(default: labels.csv in the folder of suspects, or TABLE-relabelled beside the table)",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def relabel(**options: object) -> None:
    """Correct your labels by what you marked in the gallery. DECISIONS is the decisions.csv that it gave.

    A label marked as wrong becomes the suggested one; where none was suggested, the sample is left out. Written is
    the table of yours that was judged (--table), or else a table of all samples and their labels.

    \b
    examples:
    python -m lib relabel decisions.csv --table reviews.csv --label-column stars
    python -m lib relabel decisions.csv             of a folder of images: labels.csv, judged again by
    python -m lib suspects suspects/labels.csv --image-column index --root photographs/ --out again
    """
    from .suspects.command import relabel

    relabel(**options)


@verb("parameters", anywhere=True)
@click.argument("chapter")
def parameters(chapter: str) -> None:
    """List what a chapter, or any notebook with a parameters cell, can be given."""
    from .press import chapters
    from .press.parameters import declared_in

    declared = declared_in(chapters.find(chapter))
    for line in [*declared.parameters, *(f"({note})" for note in declared.notes())]:
        print(line)


@verb("records")
@click.argument("words", nargs=-1, metavar="[list|verify|wanted|unwanted|make] [KEY|CHAPTER]...")
@click.option("--epochs", type=NUMBER, default=2, show_default=True, help="Epochs that verify trains anew.")
@click.option(
    "--profile",
    type=click.Choice(["cpu", "paper"]),
    default="cpu",
    show_default=True,
    help="That `wanted` and `make` look at.",
)
@click.option("--hours", type=float, help="`make` begins nothing that would take longer than from now until then.")
@click.option(
    "--before", default="", metavar="COMMIT", help="Of code that made a record: `verify` compares with that too."
)
def records(words: Sequence[str], epochs: int, profile: str, hours: float | None, before: str) -> int:
    """List recorded runs, or verify with today's code those whose names hold one of the KEYs.

    
    wanted [CHAPTER]...  what chapters (none named: all) want recorded: what is there, running and left, with the hours
    unwanted             records that no chapter wants any more
    make [CHAPTER]...    brings it up to today's code: checks what is there, records what is not. Start it as often as
                         there are cores: the processes share the work, and what was cut off goes on
    """
    from .press.recording import records_command

    return records_command(words, epochs=epochs, profile=profile, hours=hours, before=before)


@verb("data", anywhere=True)
@click.argument("names", nargs=-1, metavar="[NAME]...")
def data(names: Sequence[str]) -> None:
    """Fetch data sets and say where they are; without a name, list them.

    mnist, fashion_mnist and cifar10 are downloaded once; digits and clusters need no fetching.
    """
    from .data import NAMES, DataConfig, load

    folder = data_folder()
    for name in names or NAMES:
        if names:
            task = load(DataConfig(name))
            shape = "x".join(map(str, task.input_shape))
            print(f"{name}: {len(task.train_labels)} training and {len(task.test_labels)} test images of {shape}")
        else:
            there = name in ("digits", "clusters") or (folder / f"{name}.npz").exists()
            print(f"{name}: {'there' if there else 'not fetched yet'}")
    print(f"data folder: {folder}")


@verb("keep")
@click.argument("chapters", nargs=-1, metavar="[CHAPTER]...")
def keep(chapters: Sequence[str]) -> None:
    """Make notebooks of their twins and execute them, outputs kept."""
    from .press import chapters as press

    for path in press.twins(chapters):
        print(path.relative_to(NOTEBOOKS).with_suffix(""), flush=True)
        press.keep(path)


def _program(name: str, what: str, command: Sequence[str]) -> None:
    """A verb that runs a program in the book's folder."""

    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def body(arguments: Sequence[str]) -> int:
        return subprocess.run([*command, *arguments], cwd=ROOT).returncode

    body.__doc__ = what
    verb(name)(body)


_program(
    "test",
    "Lint, contract, unit and notebook tests, chapters that changed; after -- options of pytest: test -- -k NAME.",
    ["bash", str(ROOT / "tests" / "all.sh")],
)
_program(
    "test-all",
    "All of `test`, and what is slow: kills, browsers, the site, clusters, a sample of records.",
    ["bash", str(ROOT / "tests" / "all.sh"), "--slow"],
)
_program("bench", "Benchmarks, side by side.", [sys.executable, "-m", "tests.benchmarks"])

if __name__ == "__main__":
    sys.exit(main())
