"""``python -m tests.cuda [STEP]``: what is run on a CUDA card, see `tests.cuda`."""

import argparse
import importlib
import math
import os
import subprocess
import sys
from pathlib import Path

import torch

from lib.paths import BUILD, data_folder
from tests.cuda import __doc__ as about
from tests.cuda import wanted
from tests.cuda.campaign import Settings, rates_of
from tests.cuda.pack import pack, unpack
from tests.cuda.publish import publish

STEPS = ("correct", "rates", "record", "resnet18", "selective", "suspects")

OTHER = ("pack", "wanted", "publish")


def asked(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("tests.cuda", description=about, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "step", nargs="?", default="all", choices=("all", *STEPS, *OTHER), help="all: one after another"
    )
    out = Path(os.environ.get("OUT") or BUILD / "cuda")
    parser.add_argument("--out", type=Path, default=out, help="where results are kept (default: $OUT, or _build/cuda)")
    parser.add_argument("--data", type=Path, help="the data folder (default: the book's)")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--dry", action="store_true", help="every step at tiny size on a CPU")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin nothing that is expected to end later")
    parser.add_argument("--tf32", action="store_true", help="record with float32 products rounded to ten bits")
    parser.add_argument("--images", type=int, default=25_000, help="pack: of CIFAR-10, those that seed 0 draws")
    parser.add_argument("--chapters", nargs="*", default=(), help="wanted: of which chapters (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the runs of a step that records")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def shared(arguments: list[str], jobs: int) -> int:
    """The same command in several processes: small networks leave most of a card idle. The worst of their results."""
    command = [sys.executable, "-m", "tests.cuda", *arguments, "--jobs", "1"]
    running = [subprocess.Popen([*command, "--worker", str(k)]) for k in range(jobs)]
    return max(one.wait() for one in running)


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; 1 if something failed, 3 if something waits for more time."""
    given = asked(sys.argv[1:] if arguments is None else arguments)
    data = data_folder(given.data)
    if given.step == "pack":
        pack(data, given.out, given.images)
        return 0
    if given.step == "wanted":
        wanted.write(given.out, given.chapters)
        return 0
    if given.step == "publish":
        publish(given.out)
        return 0
    device = "cpu" if given.dry else given.device
    if device == "cuda" and not torch.cuda.is_available():
        print("PyTorch sees no CUDA card here; --dry runs every step at tiny size on the CPU", file=sys.stderr)
        return 2
    unpack(data)
    settings = Settings(given.out, data, torch.device(device), given.dry, given.seconds, given.tf32, given.worker)
    if given.jobs > 1:
        rates_of(settings)
        return shared(arguments or sys.argv[1:], given.jobs)
    done = [
        importlib.import_module(f"tests.cuda.{name}").run(settings) for name in STEPS if given.step in (name, "all")
    ]
    failed, waiting = ([what for step in done for what in getattr(step, name)] for name in ("failed", "waiting"))
    print(f"{len(failed)} failed, {len(waiting)} wait for the next call of this command; results are in {given.out}")
    return 1 if failed else 3 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
