#!/usr/bin/env bash
# `make lint`: every check runs, so that one run names everything.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/local/environment.sh
. deploy/local/packages.sh

ensure_packages || true
ensure_environment dev || ensure_environment tools
failed=0
for check in 'ruff check' 'ruff format --check' mypy lint-imports; do
    say "== $check"
    .venv/bin/$check || failed=1
done
exit $failed
