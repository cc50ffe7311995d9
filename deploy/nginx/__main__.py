"""python -m deploy.nginx --listen 0.0.0.0:8080 --site 127.0.0.1:8000 > edge.conf"""

import argparse
import sys
from pathlib import Path

from deploy.nginx.configuration import ConfigurationError, write_configuration


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.nginx",
        description="Writes the edge's nginx.conf from the site's environment variables.",
    )
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT")
    parser.add_argument("--site", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--stream", default="", metavar="HOST:PORT", help="the ASGI server")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/laurel-edge"))
    parser.add_argument("--workers", default="auto")
    parser.add_argument("--user", default="", help="whom the workers run as")
    try:
        print(write_configuration(**vars(parser.parse_args())))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
