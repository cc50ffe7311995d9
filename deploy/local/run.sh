#!/usr/bin/env bash
# `make run`: environment, database, catalogue, demo typists, then the site on this machine alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/local/environment.sh

port=${PORT:-8000}
ensure_environment embedded
.venv/bin/python - "$port" <<'PYTHON'
import socket, sys

text = sys.argv[1]
if not text.isdigit() or not 0 < int(text) < 65536:
    sys.exit(f"PORT={text!r} is not a port. Try:  PORT=8001 make run")
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", int(text)))
    except OSError as error:
        sys.exit(
            f"Port {text} cannot be used ({error.strerror}). "
            f"Choose another:  PORT={(int(text) + 1) % 65536} make run"
        )
PYTHON
.venv/bin/python manage.py prepare_local --port "$port"
# In place of this shell, so that Ctrl-C reaches the server itself.
exec .venv/bin/granian --interface wsgi --host 127.0.0.1 --port "$port" \
    --workers 1 --blocking-threads 4 --no-ws --log-level warning config.wsgi:application
