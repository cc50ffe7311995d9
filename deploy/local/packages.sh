# Sourced by test.sh, lint.sh, stack.sh and bench.sh: brings the system packages that the real
# stack, the tests and the benches need, where that is permitted.

CLIENT_PACKAGES=(default-libmysqlclient-dev pkg-config build-essential)

has_program() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1; }

has_kafka_jars() { compgen -G "${LAUREL_KAFKA_JARS:-var/kafka}/jars-*" >/dev/null; }

has_nginx_lua() {
    compgen -G '/usr/lib*/nginx/modules/ngx_http_lua_module.so' >/dev/null ||
        compgen -G '/usr/share/nginx/modules/ngx_http_lua_module.so' >/dev/null
}

install_command() { printf 'apt-get install -y %s' "$*"; }

list_missing_packages() {
    has_program mariadbd || echo mariadb-server
    has_program redis-server || echo redis-server
    has_program java || echo openjdk-17-jre-headless
    # Maven fetches Kafka once; with its jars in place it is not needed.
    has_kafka_jars || has_program mvn || echo maven
    has_program chromium || has_program chromium-browser || has_program google-chrome || echo chromium
    has_program nginx || echo nginx
    has_nginx_lua || echo libnginx-mod-http-lua
    has_program wrk || echo wrk
    # The MySQL driver is compiled, once: with the driver in place nothing of this is needed.
    if ! .venv/bin/python -c 'import MySQLdb' 2>/dev/null; then
        has_program mariadb_config || has_program mysql_config || echo default-libmysqlclient-dev
        has_program pkg-config || echo pkg-config
        has_program cc || echo build-essential
        local python header
        python=$(find_python 2>/dev/null) || return 0
        header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
        [ -e "$header" ] || "$python" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])'
    fi
}

ensure_packages() {
    local missing prefix=()
    mapfile -t missing < <(list_missing_packages)
    # Without the venv module no environment can be made at all.
    find_python >/dev/null 2>&1 || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return 0
    if ! has_program apt-get; then
        say "Missing here: ${missing[*]} (no apt-get: install them with this system's own tools)"
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if has_program sudo && sudo -n true 2>/dev/null; then
            prefix=(sudo -n)
        else
            say "Missing here, and installing is not permitted: $(install_command "${missing[@]}")"
            return 1
        fi
    fi
    say "Installing: ${missing[*]}"
    try_thrice install_packages "${missing[@]}"
}

install_packages() { # the lists first, each time: what stale ones name may be gone
    local apt=("${prefix[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
    "${apt[@]}" -o APT::Update::Error-Mode=any update </dev/null >&2 ||
        say 'apt-get update failed; trying without it.'
    "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >&2
}
