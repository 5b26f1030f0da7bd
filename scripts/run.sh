#!/usr/bin/env bash
# Runs Diptych on this machine: sets up .venv, starts an Inngest for Plan A, starts the bot.
#
#   scripts/run.sh             with Plan A and Plan B
#   scripts/run.sh --no-inngest  Plan B alone
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh
. scripts/inngest.sh
prepare_venv requirements-sandbox.txt

inngest_port=$(setting INNGEST_DEV_PORT 9288)
inngest_pid=

stop_inngest() {
    if [ -n "$inngest_pid" ]; then kill "$inngest_pid" 2>/dev/null || true; fi
}
trap stop_inngest EXIT

answers() { # whether something listens on a port of this machine
    .venv/bin/python -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null
}

start_inngest() {
    if [ "$(setting ENVIRONMENT development)" = production ] || [ -n "$(setting INNGEST_BASE_URL '')" ]; then
        return # an Inngest of your own is used
    fi
    if answers "$inngest_port"; then
        echo "Inngest: using what runs on port $inngest_port" >&2
        return
    fi
    if find_inngest && choose_inngest_flags && check_inngest_ports; then
        "${inngest[@]}" dev "${inngest_flags[@]}" >.data/inngest.log 2>&1 &
    elif choose_stand_in_flags && check_inngest_ports; then
        echo "Inngest: the sandbox's stand-in runs instead" >&2
        .venv/bin/python -m sandbox.inngest "${inngest_flags[@]}" >.data/inngest.log 2>&1 &
    else
        echo "Inngest: none was started; orders go to Plan B" >&2
        return
    fi
    inngest_pid=$!
}

mkdir -p .data
if [ "${1:-}" != --no-inngest ]; then start_inngest; fi
.venv/bin/python main.py &
main_pid=$!
trap 'kill -TERM "$main_pid" 2>/dev/null || true' INT TERM
while true; do # a signal interrupts the wait; the bot's own exit code is the one that counts
    status=0
    wait "$main_pid" || status=$?
    kill -0 "$main_pid" 2>/dev/null || break
done
if [ "$status" -gt 128 ]; then wait "$main_pid" 2>/dev/null && status=0 || status=$?; fi
exit "$status"
