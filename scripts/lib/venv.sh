# Sourced by the other scripts, from the repository's root: installs the given requirements into .venv.
# Uses uv if it is installed, else pip. A second call with nothing changed takes no time.

find_python() {
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Diptych needs Python 3.11 or newer; none was found. Install it, or name one: PYTHON=/path/to/python" >&2
    return 1
}

prepare_venv() { # prepare_venv REQUIREMENTS
    local stamp wanted python
    stamp=.venv/.diptych-$1
    wanted=$(cat requirements*.txt constraints.txt | cksum)
    if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    echo "Setting up .venv (once; takes a minute)…" >&2
    python=$(find_python) || return 1
    if command -v uv >/dev/null 2>&1; then
        [ -x .venv/bin/python ] || uv venv --quiet --python "$(command -v "$python")" .venv || return 1
        uv pip install --quiet --python .venv/bin/python -r "$1" -c constraints.txt || return 1
    else
        [ -x .venv/bin/python ] || "$python" -m venv .venv || return 1
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1" -c constraints.txt || return 1
    fi
    echo "$wanted" >"$stamp"
}

setting() { # setting NAME DEFAULT: from the environment, else .env, else the default
    local value=${!1:-}
    if [ -z "$value" ] && [ -f .env ]; then
        value=$(sed -n "s/^[[:space:]]*$1=//p" .env | tail -n 1 | tr -d "\"'")
    fi
    echo "${value:-$2}"
}
