#!/usr/bin/env bash
# All gates and all tests, with coverage. Installs what they need; uses no network except the package registries.
# The tests run in random order, long folders first. What fails runs once more, one by one, in the same order.
#
#   scripts/test.sh            everything but the tests marked `long`
#   scripts/test.sh --long     those as well
#   scripts/test.sh ARGS…      only pytest, with these arguments
#   scripts/test.sh -n 5 --dist loadfile --no-loadscope-reorder --randomly-seed=N   all tests, in the order of seed N
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/venv.sh
show_help "$@"
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

# The gates compute while most tests wait, so both run at once. The gates' output comes last.
gates=$(mktemp)
scripts/lint.sh >"$gates" 2>&1 &
lint=$!
trap 'kill "$lint" 2>/dev/null || true; rm -f "$gates"' EXIT

# Coverage by sys.monitoring costs next to nothing, but needs Python 3.12.
if "$bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then export COVERAGE_CORE=sysmon; fi
# Most tests wait for processes and compute little: five at once keep two cores busy.
status=0
"$bin/pytest" -n 5 --dist loadfile --no-loadscope-reorder --max-worker-restart 1 --cov --cov-report= --cov-fail-under 0 \
    ${marked[@]+"${marked[@]}"} || status=$?
if [ "$status" = 1 ]; then
    # Five at once may starve a test of its deadline. A fault fails again.
    echo "Running the failed tests once more, one by one…" >&2
    status=0
    "$bin/pytest" --randomly-seed=last --last-failed --maxfail 5 ${marked[@]+"${marked[@]}"} || status=$?
fi
wait "$lint" || status=$?
cat "$gates"
if [ "$status" != 0 ]; then exit "$status"; fi
echo "Coverage, with the ten files that have least:"
"$bin/coverage" report --sort cover | sed -n '1,12p; /^TOTAL/p; /^Coverage failure/p'
