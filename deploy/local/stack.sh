#!/usr/bin/env bash
# `make stack`: the whole production arrangement on this machine, with the Kafka transport.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/local/environment.sh
. deploy/local/packages.sh

ensure_packages || true
ensure_environment dev
# In place of this shell, so that Ctrl-C reaches the stack alone.
exec .venv/bin/python -m deploy.local.stack
