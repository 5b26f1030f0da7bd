#!/usr/bin/env bash
# All gates and all tests. Installs what they need; uses no network except the package registries.
#
#   scripts/test.sh            everything but the tests marked `long`
#   scripts/test.sh --long     those as well
#   scripts/test.sh ARGS…      only pytest, with these arguments
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/venv.sh
prepare_venv requirements-dev.txt
bin=.venv/bin

marked=()
if [ "${1:-}" = --long ]; then
    marked=(-m "long or not long")
    shift
fi
if [ $# -gt 0 ]; then exec "$bin/pytest" ${marked[@]+"${marked[@]}"} "$@"; fi

find_chromium() {
    for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1; then command -v "$candidate"; return; fi
    done
    return 1
}
if ! find_chromium >/dev/null && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing chromium for the browser tests…" >&2
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-noto-color-emoji >/dev/null
fi

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/lint-imports"
# Most tests wait for processes and compute little: five at once keep two cores busy. The long files come first.
status=0
"$bin/pytest" -n 5 --dist loadfile --no-loadscope-reorder ${marked[@]+"${marked[@]}"} || status=$?
if [ "$status" != 1 ]; then exit "$status"; fi
# Five at once may starve a test of its deadline. What failed runs once more, one by one: a fault fails again.
echo "Running the failed tests once more, one by one…" >&2
exec "$bin/pytest" --last-failed --maxfail=5 ${marked[@]+"${marked[@]}"}
