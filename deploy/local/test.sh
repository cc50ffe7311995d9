#!/usr/bin/env bash
# `make test`: the whole suite on the embedded stack, and on real MariaDB, Redis, Celery and Kafka.
# The tests of faults wait more than they work, so they run beside the others, on servers of their own.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/local/environment.sh
. deploy/local/packages.sh

left_out=()
failed=0

ensure_packages || true
with_drivers=yes
if ! ensure_environment dev; then
    say 'The production set could not be installed; going on with the embedded one.'
    ensure_environment tools
    with_drivers=no
fi

pytest=(.venv/bin/python -m pytest)
folder=$(mktemp -d)
faults=''
finish() {
    if [ -n "$faults" ]; then
        kill -INT "$faults" 2>/dev/null && wait "$faults" || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
has_real=no

if [ "$with_drivers" = no ]; then
    left_out+=("real stack: mysqlclient could not be built: $(install_command "${CLIENT_PACKAGES[@]}")")
elif ! missing=$(.venv/bin/python -m deploy.local --check mariadb redis); then
    while IFS= read -r line; do left_out+=("real stack: $line"); done <<<"$missing"
else
    has_real=yes
    has_nginx_lua && has_program nginx ||
        left_out+=("the edge: nginx with Lua is not installed: $(install_command nginx libnginx-mod-http-lua)")
    # Kafka's jars are fetched here, once and visibly, rather than inside some test.
    if ! missing=$(.venv/bin/python -m deploy.local --check kafka); then
        left_out+=("real Kafka (broker faults skipped, the rest on a mock cluster): $missing")
    fi
fi

if [ $# -eq 0 ] && [ $has_real = yes ]; then
    export SHARED_STATEMENTS_FOLDER="$folder" # what every part has sent is judged together
    say '== real stack, faults: beside the others; its output comes when they are done'
    "${pytest[@]}" -p no:cacheprovider --stack=real tests/faults >"$folder/faults.log" 2>&1 &
    faults=$!
fi
say '== embedded stack: SQLite, cache in the process, inline'
"${pytest[@]}" --stack=embedded "$@" || failed=1
if [ $has_real = yes ]; then
    say '== real stack: MariaDB, Redis, Celery, Kafka'
    if [ $# -gt 0 ]; then
        "${pytest[@]}" --stack=real "$@" || failed=1
    else
        plans=tests/statements/test_plans.py
        "${pytest[@]}" --stack=real --ignore=tests/faults --ignore=$plans || failed=1
        say '== real stack, faults'
        wait "$faults" || failed=1
        faults=''
        cat "$folder/faults.log"
        say '== real stack: the plans of all statements that were sent'
        "${pytest[@]}" --stack=real $plans || failed=1
    fi
fi
has_program chromium || has_program chromium-browser || has_program google-chrome ||
    left_out+=("browser tests: chromium is not installed: $(install_command chromium)")

if [ ${#left_out[@]} -gt 0 ]; then
    say '== could not run here'
    printf '  %s\n' "${left_out[@]}" >&2
fi
exit $failed
