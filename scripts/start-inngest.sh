#!/usr/bin/env bash
# Starts Inngest's dev server for Plan A, on 9288 and 9289, with the bot on this machine as its app.
# The CLI: INNGEST_CLI, else inngest or inngest-cli on the PATH, else inngest-cli@latest by npx.
#
#   scripts/start-inngest.sh           Ctrl+C stops it
#   scripts/start-inngest.sh FLAGS…    with more flags for `inngest dev`, such as --persist
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/venv.sh
. scripts/lib/inngest.sh
show_help "$@"
[ -x .venv/bin/python ] || prepare_venv requirements-sandbox.txt

if ! find_inngest npx; then
    echo "Install it: npm install -g inngest-cli@latest. Or name one: INNGEST_CLI=/path/to/inngest." \
        "Without it, scripts/run.sh starts the sandbox's stand-in." >&2
    exit 1
fi
choose_inngest_flags
check_inngest_ports
echo "Inngest's dev server: http://127.0.0.1:$(setting INNGEST_DEV_PORT 9288)" >&2
exec "${inngest[@]}" dev "${inngest_flags[@]}" "$@"
