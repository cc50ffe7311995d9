#!/usr/bin/env bash
# `make test`: the whole suite on the embedded stack, then on real MariaDB, Redis, Celery and Kafka.
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

say '== embedded stack: SQLite, cache in the process, inline'
.venv/bin/python -m pytest --stack=embedded "$@" || failed=1

if [ "$with_drivers" = no ]; then
    left_out+=("real stack: mysqlclient could not be built: $(install_command "${CLIENT_PACKAGES[@]}")")
elif ! missing=$(.venv/bin/python -m deploy.local --check mariadb redis); then
    while IFS= read -r line; do left_out+=("real stack: $line"); done <<<"$missing"
else
    has_nginx_lua && has_program nginx ||
        left_out+=("the edge: nginx with Lua is not installed: $(install_command nginx libnginx-mod-http-lua)")
    # Kafka's jars are fetched here, once and visibly, rather than inside some test.
    if ! missing=$(.venv/bin/python -m deploy.local --check kafka); then
        left_out+=("real Kafka (broker faults skipped, the rest on a mock cluster): $missing")
    fi
    say '== real stack: MariaDB, Redis, Celery, Kafka'
    .venv/bin/python -m pytest --stack=real "$@" || failed=1
fi
has_program chromium || has_program chromium-browser || has_program google-chrome ||
    left_out+=("browser tests: chromium is not installed: $(install_command chromium)")

if [ ${#left_out[@]} -gt 0 ]; then
    say '== could not run here'
    printf '  %s\n' "${left_out[@]}" >&2
fi
exit $failed
