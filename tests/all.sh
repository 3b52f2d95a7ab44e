#!/usr/bin/env bash
# Everything that must pass: lint, the kept notebooks' numbers, unit, notebook and book tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
"$python" -m ruff check .
"$python" -m ruff format --check --quiet .
"$python" -m pytest -q -p no:cacheprovider --nbval notebooks/
"$python" -m pytest -q tests "$@"
