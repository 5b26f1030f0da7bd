#!/usr/bin/env bash
# The quality gates without the tests: format, lint, types, imports, dead code.
#
#   scripts/lint.sh        all of them
#   scripts/lint.sh --fix  first format, and fix what ruff can fix
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/venv.sh
show_help "$@"
prepare_venv requirements-dev.txt
bin=.venv/bin

if [ "${1:-}" = --fix ]; then
    "$bin/ruff" check --fix --quiet . || true # the rest is reported below
    "$bin/ruff" format --quiet .
fi
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/lint-imports"
"$bin/vulture"   # without the tests: finds what only they use
"$bin/vulture" . # with them
