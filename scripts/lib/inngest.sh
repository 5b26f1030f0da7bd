# Sourced after venv.sh by run.sh and start-inngest.sh: finds Inngest's CLI, its flags and its ports.
# Each function prints to stderr what is wrong and what to do.

inngest=()       # the command, from find_inngest
inngest_flags=() # the flags for its `dev`, from choose_inngest_flags
inngest_ports=() # NAME=PORT of each port that it opens

find_inngest() { # find_inngest [npx]: returns 1 if there is none; uses npx, which downloads, only if asked to
    local named candidate
    named=$(setting INNGEST_CLI '')
    for candidate in "${named:-inngest}" "${named:-inngest-cli}"; do
        if command -v "$candidate" >/dev/null 2>&1; then
            inngest=("$candidate")
            return
        fi
    done
    if [ -n "$named" ]; then
        echo "INNGEST_CLI=$named: no such program. Correct it, or leave it empty to search for one." >&2
        return 1
    fi
    if [ "${1:-}" = npx ] && command -v npx >/dev/null 2>&1; then
        # Its postinstall script downloads the program, and npm may be configured to run no scripts.
        inngest=(npx --yes --ignore-scripts=false inngest-cli@latest)
        echo "No inngest or inngest-cli on the PATH: using npx inngest-cli@latest…" >&2
        return
    fi
    echo "No Inngest CLI was found (inngest or inngest-cli on the PATH, or INNGEST_CLI)." >&2
    return 1
}

choose_inngest_flags() { # returns 1 if the CLI is too old
    local help flag
    if ! help=$("${inngest[@]}" dev --help 2>&1); then
        grep -v '^npm notice' <<<"$help" | tail -n 5 >&2 || true
        if [ "${inngest[0]}" = npx ]; then
            echo "npx could not get inngest-cli. Install a CLI and name it: INNGEST_CLI=/path/to/inngest" >&2
        else
            too_old "its \`dev --help\` fails, see above"
        fi
        return 1
    fi
    for flag in --port --no-discovery --sdk-url; do
        has_flag "$flag" || { too_old "its \`dev\` has no $flag"; return 1; }
    done
    inngest_flags=(--no-discovery) inngest_ports=()
    use_port --port INNGEST_DEV_PORT 9288
    if has_flag --connect-gateway-port; then
        use_port --connect-gateway-port INNGEST_CONNECT_PORT 9289
    elif has_flag --gateway-port; then # its name in older releases
        use_port --gateway-port INNGEST_CONNECT_PORT 9289
    elif [ "$(setting INNGEST_TRANSPORT serve)" = connect ]; then
        too_old "INNGEST_TRANSPORT=connect needs a port for the Connect gateway, which it has no flag for"
        return 1
    fi
    # The names of these two settings are the CLI's own.
    has_flag --connect-gateway-grpc-port &&
        use_port --connect-gateway-grpc-port INNGEST_CONNECT_GATEWAY_GRPC_PORT 50052
    has_flag --connect-executor-grpc-port &&
        use_port --connect-executor-grpc-port INNGEST_CONNECT_EXECUTOR_GRPC_PORT 50053
    use_app
}

choose_stand_in_flags() { # the same for the sandbox's Inngest
    inngest_flags=() inngest_ports=()
    use_port --port INNGEST_DEV_PORT 9288
    use_port --connect-gateway-port INNGEST_CONNECT_PORT 9289
    use_app
}

check_inngest_ports() { # returns 1 if a port is in use. Newer CLIs would use another port, where the bot does not look
    .venv/bin/python -I inngest_functions/ports.py "${inngest_ports[@]}" >/dev/null
}

has_flag() { grep -q -E -e "(^|[^a-z-])$1([^a-z-]|\$)" <<<"$help"; }

use_port() { # use_port FLAG SETTING DEFAULT
    local port
    port=$(setting "$2" "$3")
    inngest_flags+=("$1" "$port")
    inngest_ports+=("$2=$port")
}

use_app() { # with Connect the app calls Inngest
    if [ "$(setting INNGEST_TRANSPORT serve)" != connect ]; then
        inngest_flags+=(-u "http://127.0.0.1:$(setting PORT 3001)/api/inngest")
    fi
}

too_old() {
    echo "${inngest[*]} is too old, or not an Inngest CLI: $1." \
        "Update it (npm install -g inngest-cli@latest), or name another: INNGEST_CLI=/path/to/inngest" >&2
}
