#!/usr/bin/env bash
# Everything that must pass: lint, the import contract, unit tests and golden runs, the kept notebooks' numbers, and every
# chapter live at smoke. A notebook that has not changed since it last passed here is not run again (its code, its
# outputs, the records). With --slow also what takes long: kills, full disks, browsers, the site, clusters, records verified.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
slow=(-m "not slow")
if [ "${1:-}" = --slow ]; then
  slow=()
  shift
fi
jobs=$(nproc 2>/dev/null || sysctl -n hw.ncpu)
# tests run side by side, and so must not each take every core
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

"$python" -m ruff check .
"$python" -m ruff format --check --quiet .
"$(dirname "$("$python" -c 'import sys; print(sys.executable)')")/lint-imports" --no-logo
stale=$("$python" -m tests.kept stale)
if [ -n "$stale" ]; then
  # shellcheck disable=SC2086 # a path a line, none with spaces
  "$python" -m pytest -q -n "$jobs" --dist loadfile -p no:cacheprovider --nbval $stale
  "$python" -m tests.kept passed $stale
fi
# -rfEs: what failed, and what is skipped and why
"$python" -m pytest -q -rfEs -n "$jobs" --dist loadgroup ${slow[@]+"${slow[@]}"} tests "$@"
