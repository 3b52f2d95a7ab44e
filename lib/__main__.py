"""The book's verbs for a terminal: ``python -m lib --help``."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.paths import BUILD, DATA_VARIABLE, NOTEBOOKS, RECORDS, ROOT, data_folder


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


def _jobs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of chapters, 1 or more")
    return int(text)


def _book(options: argparse.Namespace) -> int:
    from lib import site
    from lib.chapters import ChapterFailed, Job, execute_many, find, names, profiles

    published = site.Published(options.repository, options.branch, options.commit) if options.repository else None
    shutil.rmtree(site.RUNS, ignore_errors=True)  # the ledger shows this build's runs and no older ones
    live, replayed = [], []
    for path in map(find, names()):
        live.append(Job(path, {"profile": "smoke"}, site.RUNS / "smoke" / path.name))
        if "cpu" in profiles(path) and "cpu" not in site.kept_profiles(path):
            replayed.append(Job(path, {"profile": "cpu"}, site.RUNS / "cpu" / path.name, mode="replay"))
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
    index = site.build(published)
    print(f"\nClaims, checked live:\n{site.summary(claims)}\n\nThe book: {index}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from lib import chapters, site

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
        print(f"\n{site.summary(claims)}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return int(bool(failures))


def _parameters(options: argparse.Namespace) -> int:
    from lib import chapters

    for parameter in chapters.parameters(chapters.find(options.chapter)):
        print(parameter)
    return 0


def _records(options: argparse.Namespace) -> int:
    from lib.records import Store

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
    from lib.records import RecordDamaged, Run, experiment_from, read

    try:
        history, provenance = read(path)
    except RecordDamaged as damage:
        print(f"  DAMAGED {damage}")
        return False
    run = Run(experiment_from(provenance["settings"], provenance.get("kind", "")), history, provenance)
    made = f"{provenance['date'][:10]}, {provenance['seconds']:.0f} s, {provenance['device']}"
    print(f"  {path.stem}: {len(history)} rows, {made}, {run.state}")
    return True


def _verify(path: Path, epochs: int) -> bool:
    """Train the first epochs of a record anew and print the outcome; whether they agree."""
    from lib.data import DataUnavailable
    from lib.records import RecordDamaged, verify

    try:
        result = verify(path, epochs=epochs)
    except (RecordDamaged, DataUnavailable) as problem:
        print(f"  NOT CHECKED {path.stem}: {problem}")
        return False
    print(f"  {'agrees ' if result.agrees else 'DIFFERS'} {path.stem}: {result.rows} rows; most in {result.worst}")
    return result.agrees


def _data(options: argparse.Namespace) -> int:
    from lib.data import NAMES, DataConfig, load

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
    from lib import chapters

    twins = [path.stem for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))]
    for name in options.chapters or twins:
        print(name, flush=True)
        stem = next((twin for twin in twins if name in twin), None)
        if stem is None:
            raise ValueError(f"unknown chapter {name!r}; there are: {', '.join(twins)}")
        chapters.keep(NOTEBOOKS / f"{stem}.ipynb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
