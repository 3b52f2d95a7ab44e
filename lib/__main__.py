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
    except (ValueError, RuntimeError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib", description="The Clean-Priority book from a terminal.")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help=f"data folder (default: ${DATA_VARIABLE}, else {data_folder()})"
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    book = verbs.add_parser("book", help="run every chapter live at smoke, then build the site")
    book.add_argument("--repository", metavar="URL", help="the book's address, for launch and Colab buttons")
    book.add_argument("--branch", default="main", help="branch that the buttons open (default: main)")
    book.add_argument("--commit", default="HEAD", help="commit that the Colab cell fetches")
    book.set_defaults(verb=_book)

    run = verbs.add_parser("run", help="run chapters through papermill", description="Run chapters through papermill.")
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="number or name (default: all)")
    run.add_argument("--profile", default="smoke", help="best, smoke, cpu or paper (default: smoke)")
    run.add_argument(
        "-p", nargs=2, action="append", default=[], dest="given", metavar=("NAME", "VALUE"), help="a parameter"
    )
    run.add_argument("--output", type=Path, help="folder of the executed notebooks (default: _build/runs/PROFILE)")
    run.add_argument("--record", action="store_true", help="put what is trained into the book's records")
    run.add_argument("--script", action="store_true", help="plain Python in place of papermill; needs no Jupyter")
    run.set_defaults(verb=_run)

    show = verbs.add_parser("parameters", help="what a chapter can be given")
    show.add_argument("chapter")
    show.set_defaults(verb=_parameters)

    records = verbs.add_parser("records", help="list recorded runs, or verify them with today's code")
    records.add_argument("action", nargs="?", choices=["list", "verify"], default="list")
    records.add_argument(
        "keys", nargs="*", metavar="KEY", help="records whose name contains one of these (default: all)"
    )
    records.add_argument("--epochs", type=int, default=2, help="epochs that verify trains anew (default: 2)")
    records.set_defaults(verb=_records)

    data = verbs.add_parser("data", help="fetch data sets and say where they are")
    data.add_argument("names", nargs="*", metavar="NAME", help="digits, mnist, fashion_mnist, cifar10 (default: list)")
    data.set_defaults(verb=_data)

    keep = verbs.add_parser("keep", help="make notebooks of their twins and execute them, outputs kept")
    keep.add_argument("chapters", nargs="*", metavar="CHAPTER")
    keep.set_defaults(verb=_keep)

    for name, what, command in (
        ("test", "lint, unit, notebook and book tests", ["bash", str(ROOT / "tests" / "all.sh")]),
        ("bench", "benchmarks, side by side", [sys.executable, "-m", "tests.benchmarks"]),
    ):
        verb = verbs.add_parser(name, help=what)
        verb.set_defaults(verb=lambda _, command=command: subprocess.run(command, cwd=ROOT).returncode)
    return parser


def _book(options: argparse.Namespace) -> int:
    from lib import site
    from lib.chapters import ChapterFailed, execute, find, names, profiles

    published = site.Published(options.repository, options.branch, options.commit) if options.repository else None
    shutil.rmtree(site.RUNS, ignore_errors=True)  # the ledger shows this build's runs and no older ones
    claims = []
    for name in names():
        print(f"{name}, live at smoke", flush=True)
        path = find(name)
        claims += execute(path, {"profile": "smoke"}, site.RUNS / "smoke" / path.name)
        if "cpu" in profiles(path):
            try:
                execute(path, {"profile": "cpu"}, site.RUNS / "cpu" / path.name, mode="replay")
            except ChapterFailed as failure:
                print(f"  the ledger's cpu column stays empty: {failure}")
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
            given[name] = declared[path][name].read(text) if name in declared[path] else text
        chapters.check_values(path.stem, list(declared[path].values()), given)
        jobs.append((path, given))
    mode = "record" if options.record else ""
    claims = []
    for path, given in jobs:
        print(path.stem, flush=True)
        if options.script:
            chapters.run_script(path, given, mode=mode)
            continue
        output = (options.output or BUILD / "runs" / options.profile).resolve() / path.name
        claims += chapters.execute(path, given, output, mode=mode)
        print(f"  {output}", flush=True)
    if claims:
        print(f"\n{site.summary(claims)}")
    return 0


def _parameters(options: argparse.Namespace) -> int:
    from lib import chapters

    for parameter in chapters.parameters(chapters.find(options.chapter)):
        print(parameter)
    return 0


def _records(options: argparse.Namespace) -> int:
    from lib.records import RecordDamaged, Run, Store, experiment_from, read, verify

    paths = [path for folder in (RECORDS, data_folder() / "records") for path in Store(folder).paths()]
    paths = [path for path in paths if not options.keys or any(key in path.name for key in options.keys)]
    if not paths:
        raise ValueError(
            "no record fits" if options.keys else f"no records in {RECORDS} or {data_folder() / 'records'}"
        )
    failures = 0
    for path in paths:
        try:
            history, provenance = read(path)
        except RecordDamaged as damage:
            failures += 1
            print(f"DAMAGED {damage}")
            continue
        if options.action == "verify":
            result = verify(path, epochs=options.epochs)
            failures += not result.agrees
            verdict = "agrees " if result.agrees else "DIFFERS"
            print(f"{verdict} {path.stem}: {result.epochs} epochs; most in {result.worst}")
            continue
        run = Run(experiment_from(provenance["settings"]), history, provenance)
        print(f"{path.stem}: {len(history)} rows, {provenance['date'][:10]}, {provenance['seconds']:.0f} s, "
              f"{provenance['device']}, {run.state}")  # fmt: skip
    return int(failures > 0)


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
