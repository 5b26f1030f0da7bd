#!/usr/bin/env bash
# Runs Diptych on this machine: sets up .venv, starts Inngest for Plan A, starts the bot.
#
#   scripts/run.sh               with Plan A and Plan B
#   scripts/run.sh --no-inngest  only with Plan B
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/venv.sh
. scripts/lib/inngest.sh
show_help "$@"
prepare_venv requirements-sandbox.txt

inngest_port=$(setting INNGEST_DEV_PORT 9288)
main_pid=
inngest_pid=

stop() { # stop PID SECONDS: SIGTERM, then SIGKILL if it has not ended after SECONDS; -PID is a process group
    local i
    kill -TERM -- "$1" 2>/dev/null || return 0
    for ((i = 0; i < $2 * 20; i++)); do
        kill -0 -- "$1" 2>/dev/null || return 0
        if grep -qs '^State:.*zombie' "/proc/${1#-}/status"; then return 0; fi # nobody reaps it in a container
        sleep 0.05
    done
    kill -KILL -- "$1" 2>/dev/null || true
}

stop_all() { # the bot first: it hands over its running jobs
    trap '' INT TERM HUP
    if [ -n "$main_pid" ]; then stop "$main_pid" 15; fi
    if [ -n "$inngest_pid" ]; then stop "-$inngest_pid" 5; fi
}

watch() { # stops everything when this script ends, which closes the pipe: also after a kill -9, when no trap runs
    local name pid
    trap '' INT TERM HUP
    while read -r name pid; do
        case $name in
            main) main_pid=$pid ;;
            inngest) inngest_pid=$pid ;;
            done) return ;;
        esac
    done
    stop_all
}

tell_watch() { echo "$*" >&9 2>/dev/null || true; }

# `set -m` starts background jobs in their own process group: Ctrl+C does not reach them.
exec 9> >(set -m; watch <&0 >/dev/null 2>&1 &)
trap '' PIPE
trap 'stop_all; tell_watch done' EXIT

answers() { # whether something listens on a port of this machine
    .venv/bin/python -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null
}

start_inngest() {
    if [ "$(setting ENVIRONMENT development)" = production ] || [ -n "$(setting INNGEST_BASE_URL '')" ]; then
        return # the configured Inngest is used
    fi
    if answers "$inngest_port"; then
        echo "Inngest: using what runs on port $inngest_port" >&2
        return
    fi
    if find_inngest && choose_inngest_flags && check_inngest_ports; then
        start_background "${inngest[@]}" dev "${inngest_flags[@]}"
    elif choose_stand_in_flags && check_inngest_ports; then
        echo "Inngest: starting the sandbox's stand-in" >&2
        start_background .venv/bin/python -m sandbox.inngest "${inngest_flags[@]}"
    else
        echo "Inngest: not started; orders go to Plan B" >&2
    fi
}

start_background() { # as no child of this script, whose `wait` for the bot would wait for it, too
    inngest_pid=$(set -m; "$@" </dev/null >.data/inngest.log 2>&1 9>&- & echo $!)
    tell_watch inngest "$inngest_pid"
}

mkdir -p .data
if [ "${1:-}" != --no-inngest ]; then start_inngest; fi
.venv/bin/python main.py 9>&- &
main_pid=$!
tell_watch main "$main_pid"
trap 'kill -TERM "$main_pid" 2>/dev/null || true' INT TERM HUP
while true; do # a signal interrupts the wait; the bot's own exit code counts
    status=0
    wait "$main_pid" || status=$?
    kill -0 "$main_pid" 2>/dev/null || break
done
if [ "$status" -gt 128 ]; then wait "$main_pid" 2>/dev/null && status=0 || status=$?; fi
main_pid=
exit "$status"
