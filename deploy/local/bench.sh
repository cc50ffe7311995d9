#!/usr/bin/env bash
# `make bench-...`: measures with the module that is named, on real servers; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/local/environment.sh
. deploy/local/packages.sh

ensure_packages || true
ensure_environment dev
exec .venv/bin/python -m "$@"
