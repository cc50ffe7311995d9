# Sourced by the scripts beside it: finds a Python and keeps .venv equal to a requirement set.
# ensure_environment SET installs requirements/SET.txt unless that very set is installed already.

VENV=.venv
OLDEST_PYTHON='(3, 11)'

say() { printf '%s\n' "$*" >&2; }

try_thrice() { # what is fetched from far away may break off once
    local turn
    for turn in 1 2 3; do
        "$@" && return 0
        [ "$turn" = 3 ] && return 1
        say "That failed; trying again in ${RETRY_SECONDS:-15} s."
        sleep "${RETRY_SECONDS:-15}"
    done
}

# Debian's own build is compiled with profile guidance and runs 20 to 40% faster than most others.
find_python() {
    local candidate without_venv=''
    for candidate in ${PYTHON:-} /usr/bin/python3.11 python3.11 python3.12 python3.13 python3; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c "import sys; sys.exit(sys.version_info < $OLDEST_PYTHON)" 2>/dev/null || continue
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
        without_venv="$without_venv $candidate"
    done
    if [ -n "$without_venv" ]; then
        local version
        version=$(${without_venv# } -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null \
            || echo 3.11)
        say "Python is here (${without_venv# }) but its venv module is not."
        say "Install it:  apt install python$version-venv"
    else
        say 'Laurel needs Python 3.11 or newer, and none was found.'
        say 'Install it:  apt install python3.11 python3.11-venv'
        say 'or point to one:  PYTHON=/path/to/python3 make ...'
    fi
    return 1
}

stamp_of() { # the state that an installed set answers to
    cat requirements.txt requirements/*.txt | cksum | tr ' ' '-'
}

show_progress() { # one line that counts, instead of pip's hundreds; its errors come by themselves
    awk '/^Collecting/ { printf "\r  %d packages", ++count; fflush() }
         /^Installing collected/ { printf "\r  %d packages, installing ...", count; fflush() }
         END { if (count) print "" }' >&2
}

# In a shell of its own: without pipefail the progress line's success would count as pip's.
install_requirements() (
    set -o pipefail
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input "$@" | show_progress
)

ensure_environment() {
    local set=$1 stamp="$VENV/.installed-$1" wanted python
    wanted=$(stamp_of)
    if "$VENV/bin/python" -c '' 2>/dev/null; then
        [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
    fi
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || return 1
        say "Making $VENV with $python"
        "$python" -m venv --clear "$VENV" || {
            say "The virtual environment could not be made. Install:  apt install python3-venv"
            return 1
        }
    fi
    say "Installing requirements/$set.txt (once)"
    local binary=()
    # The embedded sets must never need a compiler.
    [ "$set" = dev ] || binary=(--only-binary ':all:')
    try_thrice install_requirements "${binary[@]}" -r "requirements/$set.txt" || {
        say "requirements/$set.txt could not be installed."
        return 1
    }
    printf '%s\n' "$wanted" >"$stamp"
    case $set in # the larger set holds the smaller ones
        dev) printf '%s\n' "$wanted" | tee "$VENV/.installed-tools" >"$VENV/.installed-embedded" ;;
        tools) printf '%s\n' "$wanted" >"$VENV/.installed-embedded" ;;
    esac
}
