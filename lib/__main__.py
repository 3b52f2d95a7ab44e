"""The book's verbs for a terminal: ``python -m lib --help``."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .paths import BUILD, DATA_VARIABLE, NOTEBOOKS, RECORDS, ROOT, data_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; its exit status. Errors that a user can mend are printed without a traceback."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.data:
        os.environ[DATA_VARIABLE] = str(options.data.expanduser().resolve())
    try:
        return options.verb(options)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as missing:
        print(
            f"{missing} in {sys.executable}. Use the Python that `make install` makes: .venv/bin/python",
            file=sys.stderr,
        )
        return 1
    except (ValueError, RuntimeError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib", description="The Clean-Priority book from a terminal.")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help=f"data folder (default: ${DATA_VARIABLE}, else {data_folder()})"
    )
    common = argparse.ArgumentParser(add_help=False)  # so that the flag may also stand after the verb
    common.add_argument("--data", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="data folder")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    book = verbs.add_parser("book", parents=[common], help="run every chapter live at smoke, then build the site")
    book.add_argument("--repository", metavar="URL", help="the book's address, for launch and Colab buttons")
    book.add_argument("--branch", default="main", help="branch that the buttons open (default: main)")
    book.add_argument("--commit", default="HEAD", help="commit that the Colab cell fetches")
    book.add_argument(
        "--jobs", type=_jobs, default=os.cpu_count() or 1, help="chapters at a time (default: one a core)"
    )
    book.set_defaults(verb=_book)

    run = verbs.add_parser("run", parents=[common], help="run chapters through papermill")
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="number or name (default: all)")
    run.add_argument("--profile", default="smoke", help="one that the chapter has, see `parameters` (default: smoke)")
    run.add_argument(
        "-p", nargs=2, action="append", default=[], dest="given", metavar=("NAME", "VALUE"), help="a parameter"
    )
    run.add_argument("--output", type=Path, help="folder of the executed notebooks (default: _build/runs/PROFILE)")
    run.add_argument("--record", action="store_true", help="put what is trained into the book's records")
    run.add_argument("--script", action="store_true", help="plain Python in place of papermill; needs no Jupyter")
    run.add_argument(
        "--jobs", type=_jobs, default=os.cpu_count() or 1, help="chapters at a time at smoke (default: one a core)"
    )
    run.set_defaults(verb=_run)

    _add_sweep(verbs, common)
    _add_suspects(verbs, common)

    show = verbs.add_parser("parameters", parents=[common], help="what a chapter can be given")
    show.add_argument("chapter")
    show.set_defaults(verb=_parameters)

    records = verbs.add_parser("records", parents=[common], help="list recorded runs, or verify them with today's code")
    records.add_argument(
        "words", nargs="*", metavar="list|verify|KEY", help="what to do (default: list), and parts of records' names"
    )
    records.add_argument("--epochs", type=int, default=2, help="epochs that verify trains anew (default: 2)")
    records.set_defaults(verb=_records)

    data = verbs.add_parser("data", parents=[common], help="fetch data sets and say where they are")
    data.add_argument("names", nargs="*", metavar="NAME", help="digits, mnist, fashion_mnist, cifar10 (default: list)")
    data.set_defaults(verb=_data)

    keep = verbs.add_parser(
        "keep", parents=[common], help="make notebooks of their twins and execute them, outputs kept"
    )
    keep.add_argument("chapters", nargs="*", metavar="CHAPTER")
    keep.set_defaults(verb=_keep)

    for name, what, command in (
        ("test", "lint, unit, notebook and book tests", ["bash", str(ROOT / "tests" / "all.sh")]),
        ("bench", "benchmarks, side by side", [sys.executable, "-m", "tests.benchmarks"]),
    ):
        verb = verbs.add_parser(name, parents=[common], help=what)
        verb.set_defaults(verb=lambda _, command=command: subprocess.run(command, cwd=ROOT).returncode)
    return parser


SWEEP_HELP = """\
Run a notebook over a grid of parameters. SWEEP is one of notebooks/sweeps (list them by leaving it out) or a YAML file:

  notebook: single_run                  one condition (single_run, single_mix, single_penalty), a chapter, or the path
                                        of a notebook from the YAML's folder; `parameters NOTEBOOK` says what it takes
  title: ...                            a line for the status page
  parameters: {profile: smoke}          the same for all points
  grid:                                 the parts below are combined, each with each
    product: {noise_rate: [0.2, 0.4]}     every combination
    zip: {a: [1, 2], b: [3, 4]}           lists that go together
    list: [{a: 1, b: 3}, {a: 2}]          points one by one
    seeds: 5                              seed = 0 ... 4, or {parameter: NAME, count: 5, first: 0}
  collect: {claims: true, tables: []}   all claims or a list of them; tables shown by lib.press.show.result
  figure: {name: CLAIM or table, quantity: VALUE, x: PARAMETER, by: PARAMETER, panel: PARAMETER, ...}
                                        by: a curve each; panel: a panel each; xscale: log; ylabel, caption, alt
"""
SWEEP_END = """\
A point that is in the store is not run again, unless its notebook, the book's code or its files changed, or it failed.
Kill a sweep at any moment: the same command goes on from the points that are done. Two may share a store.
Exit status: 0 if every point is done, 1 if one failed or the sweep could not go on.

examples:
  python -m lib sweep noise_level --plan               what would run, and why
  python -m lib sweep noise_level                      on this machine: a worker a core, or a card
  python -m lib sweep noise_level --scheduler tcp://node7:8786    on any running Dask cluster
"""


def _add_sweep(verbs: argparse._SubParsersAction, common: argparse.ArgumentParser) -> None:
    sweep = verbs.add_parser(
        "sweep",
        parents=[common],
        help="run a notebook over a grid, here or on a cluster",
        description=SWEEP_HELP,
        epilog=SWEEP_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sweep.add_argument("sweep", nargs="?", metavar="SWEEP", help="name or YAML file (default: list the book's)")
    sweep.add_argument("--plan", action="store_true", help="list the points and why each would run; run nothing")
    sweep.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a running Dask cluster")
    sweep.add_argument("--workers", type=_number, metavar="N", help="points at a time (default: one a core, or a card)")
    sweep.add_argument(
        "--threads", type=_number, metavar="N", help="of each point (default: cores shared out; 1 on a cluster)"
    )
    sweep.add_argument("--per-card", type=_number, default=1, metavar="N", help="points at a time on a graphics card")
    sweep.add_argument("--retries", type=int, default=2, metavar="N", help="of a point whose kernel died (default: 2)")
    sweep.add_argument("--store", type=Path, metavar="DIR", help="(default: sweeps/SWEEP in the data folder)")
    sweep.add_argument("--table", type=Path, metavar="FILE", help="Parquet (default: table.parquet in the store)")
    sweep.add_argument("--publish", action="store_true", help="keep the table in book/sweeps, for the status page")
    sweep.set_defaults(verb=_sweep)


SUSPECTS_HELP = """\
Find the wrong labels in your own data. SOURCE is one of

  a folder        with a folder of images for each class
  a .csv          with a column of image paths and one of labels
  a .npz          with arrays images (or embeddings) and labels

One network is trained on the labels as they are, and stops by itself; then every label is judged.
"""
SUSPECTS_END = """\
Written into --out: suspects.csv (a row a sample, the most suspicious first), noise.json (noise rate and
transition matrix, with intervals) and suspects.html (a gallery to look at, filter and mark in; one file).
Stop it at any moment: the same command goes on from where it was.

examples:
  python -m lib suspects photographs/
  python -m lib suspects labels.csv --image-column file --label-column class --root photographs/
  python -m lib suspects embeddings.npz --out judged --no-gallery
"""


def _add_suspects(verbs: argparse._SubParsersAction, common: argparse.ArgumentParser) -> None:
    suspects = verbs.add_parser(
        "suspects",
        parents=[common],
        help="find the wrong labels in your own data",
        description=SUSPECTS_HELP,
        epilog=SUSPECTS_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    suspects.add_argument("source", type=Path, metavar="SOURCE", help="folder, .csv or .npz")
    suspects.add_argument("--image-column", metavar="NAME", help="of a table, or array of a .npz (default: image)")
    suspects.add_argument("--label-column", metavar="NAME", help="of a table, or array of a .npz (default: label)")
    suspects.add_argument("--root", type=Path, metavar="DIR", help="that paths in a .csv begin from (default: its own)")
    suspects.add_argument("--out", type=Path, default=Path("suspects"), metavar="DIR", help="(default: suspects)")
    suspects.add_argument("--overwrite", action="store_true", help="replace what an earlier run wrote into --out")
    suspects.add_argument("--network", default="auto", help="auto, fcn, cnn or resnet9 (default: auto, by the data)")
    suspects.add_argument("--epochs", type=_number, default=60, metavar="N", help="at most (default: 60)")
    suspects.add_argument(
        "--held-out", type=float, default=0.1, metavar="SHARE",
        help="of the labels, not trained on: more of many labels, a better noise rate (default: .1)",
    )  # fmt: skip
    suspects.add_argument("--layers", type=_number, metavar="N", help="last layers looked at (default: 7; 1: the last)")
    suspects.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    suspects.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    suspects.add_argument("--limit", type=_number, default=2000, metavar="N", help="of the gallery (default: 2000)")
    suspects.add_argument("--no-gallery", action="store_true", help="write no suspects.html")
    suspects.set_defaults(verb=_suspects)


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text)


def _jobs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of chapters, 1 or more")
    return int(text)


def _book(options: argparse.Namespace) -> int:
    from .press.chapters import ChapterFailed, Job, execute_many, find, names, profiles
    from .site import build, ledger

    published = build.Published(options.repository, options.branch, options.commit) if options.repository else None
    shutil.rmtree(build.RUNS, ignore_errors=True)  # the ledger shows this build's runs and no older ones
    live, replayed = [], []
    for path in map(find, names()):
        live.append(Job(path, {"profile": "smoke"}, build.RUNS / "smoke" / path.name))
        if "cpu" in profiles(path) and "cpu" not in ledger.kept_profiles(path):
            replayed.append(Job(path, {"profile": "cpu"}, build.RUNS / "cpu" / path.name, mode="replay"))
    print(f"{len(live)} chapters live at smoke, {options.jobs} at a time", flush=True)
    claims = []
    for job, outcome in execute_many(live, options.jobs):
        if isinstance(outcome, ChapterFailed):
            raise outcome
        print(f"  {job.path.stem}: {len(outcome)} claims", flush=True)
        claims += outcome
    for job, outcome in execute_many(replayed, options.jobs):
        if isinstance(outcome, ChapterFailed):
            print(f"{job.path.stem}: the ledger's cpu column stays empty: {outcome}")
    print("Building the site", flush=True)
    index = build.build(published, build.RUNS)
    print(f"\nClaims, checked live:\n{ledger.summary(claims)}\n\nThe book: {index}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from .press import chapters
    from .site import ledger

    paths = [chapters.find(name) for name in options.chapters or chapters.names()]
    declared = {path: {parameter.name: parameter for parameter in chapters.parameters(path)} for path in paths}
    jobs = []
    for path in paths:  # all of them are checked before the first one starts
        if not options.chapters and options.profile not in ("best", *chapters.profiles(path)):
            print(f"{path.stem} has no profile {options.profile}: left out")
            continue
        given = {"profile": options.profile}
        for name, text in options.given:
            if name == "profile":
                raise ValueError("name the profile by --profile")
            given[name] = declared[path][name].read(text) if name in declared[path] else text
        chapters.check_values(path.stem, list(declared[path].values()), given)
        changed = "".join(f"-{name}={value}" for name, value in given.items() if name != "profile")
        output = (options.output or BUILD / "runs" / options.profile).resolve() / f"{path.stem}{changed}.ipynb"
        jobs.append(chapters.Job(path, given, output, "record" if options.record else ""))
    if options.script:
        for job in jobs:
            print(job.path.stem, flush=True)
            chapters.run_script(job.path, job.given, mode=job.mode)
        return 0
    claims, failures = [], []
    for job, outcome in chapters.execute_many(jobs, options.jobs if options.profile == "smoke" else 1):
        print(f"{job.path.stem}\n  {job.output}", flush=True)
        if isinstance(outcome, chapters.ChapterFailed):
            failures.append(outcome)
        else:
            claims += outcome
    if claims:
        print(f"\n{ledger.summary(claims)}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return int(bool(failures))


def _sweep(options: argparse.Namespace) -> int:
    from .sweeps.command import sweep_command

    names = ("plan", "scheduler", "workers", "threads", "per_card", "retries", "store", "table", "publish")
    return sweep_command(options.sweep, **{name: getattr(options, name) for name in names})


def _suspects(options: argparse.Namespace) -> int:
    from .suspects import gallery, judgement, read
    from .suspects.early_stop import Recipe
    from .suspects.tangents import TAIL

    recipe = Recipe(
        network=options.network, epochs=options.epochs, held_out=options.held_out, seed=options.seed,
        device=options.device,
    )  # fmt: skip
    recipe.validate()
    names = ["suspects.csv", "noise.json"] + ([] if options.no_gallery else ["suspects.html"])
    there = [options.out / name for name in names if (options.out / name).exists()]
    if there and not options.overwrite:
        raise ValueError(f"{', '.join(map(str, there))} would be replaced: say --overwrite, or name another --out")
    given = read.read(
        options.source, image_column=options.image_column, label_column=options.label_column, root=options.root
    )
    print("\n".join([given.describe(), *(f"- {note}" for note in given.notes)]), flush=True)
    checkpoint = options.out / "checkpoint.pt"
    found = judgement.judge(given, recipe, layers=options.layers or TAIL, checkpoint=checkpoint)
    found.save(options.out)
    print("\n".join(found.lines()))
    if not options.no_gallery:
        page = options.out / "suspects.html"
        shown = gallery.write(found.table, given, page, summary=found.lines(), limit=options.limit)
        print(f"gallery of {shown}: {page}")
    print(f"table: {options.out / 'suspects.csv'}\nnoise: {options.out / 'noise.json'}")
    return 0


def _parameters(options: argparse.Namespace) -> int:
    from .press import chapters

    for parameter in chapters.parameters(chapters.find(options.chapter)):
        print(parameter)
    return 0


def _records(options: argparse.Namespace) -> int:
    from .records import Store

    action, keys = "list", options.words
    if keys and keys[0] in ("list", "verify"):
        action, *keys = keys
    found, failures = 0, 0
    for folder in (RECORDS, data_folder() / "records"):
        paths = [path for path in Store(folder).paths() if not keys or any(key in path.name for key in keys)]
        if paths:
            print(f"{folder}:", flush=True)
        for path in paths:
            found += 1
            failures += not (_verify(path, options.epochs) if action == "verify" else _list(path))
    if not found:
        raise ValueError("no record fits" if keys else f"no records in {RECORDS} or {data_folder() / 'records'}")
    if action == "verify":
        print(f"{found - failures} of {found} agree with today's code")
    return int(failures > 0)


def _list(path: Path) -> bool:
    """Print a line about a record; whether it is whole."""
    from .records import RecordDamaged, Store, experiment_from, read
    from .runs import Run

    try:
        history, provenance = read(path)
    except RecordDamaged as damage:
        print(f"  DAMAGED {damage}")
        return False
    experiment = experiment_from(provenance["settings"], provenance.get("kind", ""))
    run = Run(experiment, history, provenance, check=Store(path.parent).check(experiment.key))
    made = f"{provenance['date'][:10]}, {provenance['seconds']:.0f} s, {provenance['device']}"
    print(f"  {path.stem}: {len(history)} rows, {made}, {run.state}")
    return True


def _verify(path: Path, epochs: int) -> bool:
    """Train the first epochs of a record anew and print the outcome; whether they agree."""
    from .data import DataUnavailable
    from .records import RecordDamaged, verify

    try:
        result = verify(path, epochs=epochs)
    except (RecordDamaged, DataUnavailable) as problem:
        print(f"  NOT CHECKED {path.stem}: {problem}")
        return False
    print(f"  {'agrees ' if result.agrees else 'DIFFERS'} {path.stem}: {result.rows} rows; most in {result.worst}")
    return result.agrees


def _data(options: argparse.Namespace) -> int:
    from .data import NAMES, DataConfig, load

    folder = data_folder()
    for name in options.names or NAMES:
        if options.names:
            task = load(DataConfig(name))
            shape = "x".join(map(str, task.input_shape))
            print(f"{name}: {len(task.train_labels)} training and {len(task.test_labels)} test images of {shape}")
        else:
            there = name == "digits" or (folder / f"{name}.npz").exists()
            print(f"{name}: {'there' if there else 'not fetched yet'}")
    print(f"data folder: {folder}")
    return 0


def _keep(options: argparse.Namespace) -> int:
    from .press import chapters

    paths = [*sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py")), *sorted((NOTEBOOKS / "sweeps").glob("*.py"))]
    twins = [str(path.relative_to(NOTEBOOKS).with_suffix("")) for path in paths]
    for name in options.chapters or twins:
        print(name, flush=True)
        stem = next((twin for twin in twins if name in twin), None)
        if stem is None:
            raise ValueError(f"unknown chapter {name!r}; there are: {', '.join(twins)}")
        chapters.keep(NOTEBOOKS / f"{stem}.ipynb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
