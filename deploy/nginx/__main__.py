"""REDIS_URL=... python -m deploy.nginx --listen 0.0.0.0:80 --site 127.0.0.1:8000 > edge.conf"""

import argparse
import sys
from pathlib import Path

from config.environment import SettingError
from deploy.nginx.configuration import write_configuration
from deploy.nginx.redis_options import ConfigurationError


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
    options = vars(parser.parse_args())
    try:
        # Reads the environment when it loads: what the site would refuse is refused here.
        from config import settings

        print(write_configuration(settings=settings, **options))
    except (SettingError, ConfigurationError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
