#!/usr/bin/env bash
# Compiles the dependencies in pyproject.toml to requirements*.txt, with hashes, for Python 3.11 and newer.
# All three files come from one resolution, and versions stay as they are unless pyproject.toml excludes them.
#
#   scripts/compile-requirements.sh                        after a change of pyproject.toml
#   scripts/compile-requirements.sh --upgrade              take the newest versions of everything
#   scripts/compile-requirements.sh --upgrade-package NAME take the newest version of NAME
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/venv.sh
show_help "$@"
if ! command -v uv >/dev/null 2>&1; then prepare_venv requirements-dev.txt; fi
PATH=$PATH:.venv/bin

compile() { # compile FILE ARGS…: FILE's own versions are kept where possible
    local file=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --annotation-style line \
        --no-emit-index-url --no-emit-find-links --custom-compile-command scripts/compile-requirements.sh \
        --output-file "$file" "$@" pyproject.toml
}

compile requirements-dev.txt --group dev "$@"
compile requirements-sandbox.txt --group sandbox --constraints requirements-dev.txt
compile requirements.txt --constraints requirements-dev.txt
