# Sourced by the other scripts, from the repository's root: their --help, and the installation of .venv.

show_help() { # show_help ARGS…: prints the comment at the top of the script and exits, if ARGS begin with --help or -h
    case ${1:-} in
        --help | -h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/${0##*/}" && exit ;;
    esac
}

find_python() {
    for candidate in "${PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Diptych needs Python 3.11 or newer; none was found. Install it, or name one: PYTHON=/path/to/python" >&2
    return 1
}

prepare_venv() { # prepare_venv FILE: installs it into .venv. A second call with nothing changed takes no time
    local wanted python
    wanted=$(cat requirements*.txt | cksum)
    if is_current "$1" || is_current requirements-dev.txt; then return; fi # the latter has everything
    echo "Setting up .venv…" >&2
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python) || return 1
        "$python" -m venv .venv || return 1
    fi
    find_uv && install_with_uv "$1" || install_with_pip "$1" || return 1
    echo "$wanted" >".venv/.diptych-$1"
}

is_current() { [ -x .venv/bin/python ] && [ "$(cat ".venv/.diptych-$1" 2>/dev/null)" = "$wanted" ]; }

find_uv() { # the one on the PATH, else the pinned one, which pip gets: together they take a tenth of pip's time
    if command -v uv >/dev/null 2>&1; then uv=uv; return; fi
    uv=.venv/bin/uv
    [ -x $uv ] && return
    sed -n '/^uv==/,/^ *# via/p' requirements-dev.txt >.venv/uv.txt
    install_with_pip .venv/uv.txt
}

install_with_uv() { "$uv" pip install --quiet --require-hashes --python .venv/bin/python -r "$1"; }

install_with_pip() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1"
}

setting() { # setting NAME DEFAULT: from the environment, else .env, else the default
    local value=${!1:-}
    if [ -z "$value" ] && [ -f .env ]; then
        value=$(sed -n "s/^[[:space:]]*$1=//p" .env | tail -n 1 | tr -d "\"'")
    fi
    echo "${value:-$2}"
}
