"""Loaded by every test run, nbval's on the notebooks too."""

import os

pytest_plugins = ["tests.nbval_numbers"]

os.environ["TQDM_DISABLE"] = "1"  # kernels inherit it: progress is no output to compare
os.environ.pop("CLEAN_PRIORITY_MODE", None)
