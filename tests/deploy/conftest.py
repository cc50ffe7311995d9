"""The site on a test's own database, and an edge before it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection

from deploy.local.nginx import Edge
from deploy.local.process import HOST, MissingProgram
from deploy.local.program import PROGRAMS, SiteProcess

USER, PRIVATE, UNKNOWN = 12345, 777, 987654321
ORIGIN = "https://typing.example.org"
PROFILE = f"/api/v1/users/{USER}/achievements"
# The edge gives Redis 0.1 s, and leaves it alone for a second when that is not enough: where this
# machine stalls, what should be a hit is asked for again.
PATIENCE = 6
# What differs between any two answers, or says who gave them.
LEFT_OUT = {
    *("date", "server", "connection", "keep-alive", "transfer-encoding", "x-served-by"),
    *("ratelimit-remaining", "ratelimit-reset"),
}


class Site:
    """The site, and the edge before it."""

    def __init__(self, web: SiteProcess, edge: Edge) -> None:
        self.web, self.edge = web, edge

    def ask(
        self,
        path: str,
        *,
        port: int,
        method: str = "GET",
        more: Sequence[tuple[str, str]] = (),
        **headers: str,
    ) -> httpx.Response:
        """Headers by name; those that come more than once in `more`."""
        # One's own words alone: a client's defaults would decide what is compared.
        with httpx.Client(headers={}, trust_env=False, timeout=30) as client:
            client.headers.clear()
            sent = {"Host": "localhost", **{n.replace("_", "-"): v for n, v in headers.items()}}
            lines = [*sent.items(), *more]
            return client.request(method, f"http://{HOST}:{port}{path}", headers=lines)

    def ask_edge(self, path: str = PROFILE, **options: Any) -> httpx.Response:
        return self.ask(path, port=self.edge.port, **options)

    def ask_django(self, path: str = PROFILE, **options: Any) -> httpx.Response:
        return self.ask(path, port=self.web.port, **options)

    def count(self, outcome: str) -> int:
        text = self.ask("/edge-metrics", port=self.edge.port).text
        return int(text.split(f'outcome="{outcome}"}} ')[1].split()[0])


@pytest.fixture
def start_site(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Starts the site on this test's own database, and an edge before it."""
    try:
        Edge(site="", environment={}).remove()
    except MissingProgram as error:
        pytest.skip(str(error))
    with ExitStack() as stack:

        def start(**variables: str) -> Site:
            url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
            environment = {
                **os.environ,
                "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}",
                "CORS_ALLOWED_ORIGINS": ORIGIN,
                "TRUSTED_PROXIES": "127.0.0.1",
                **variables,
            }
            (web_program,) = (program for program in PROGRAMS if program.name == "web")
            web = SiteProcess(web_program, environment=environment, folder=tmp_path / "web")
            stack.enter_context(web)
            edge = Edge(site=f"{HOST}:{web.port}", environment=environment)
            return Site(web, stack.enter_context(edge))

        yield start


@pytest.fixture
def site(start_site: Callable[..., Site]) -> Site:
    # Here, because this file is read before Django has its settings.
    from achievements.engine import process_events
    from achievements.rulebooks import publish_rulebook
    from profiles.models import Profile
    from tests.factories import AchievementFactory, make_event

    for number in range(12):
        AchievementFactory(slug=f"typist-{number}", criteria={"count": "tests", "atLeast": 1})
    AchievementFactory(slug="secret", hidden=["title", "icon", "description", "count"])
    publish_rulebook()
    Profile.objects.create(user_id=PRIVATE, display_name="Ada", is_private=True)
    process_events([make_event(USER, 1), make_event(PRIVATE, 2)])
    return start_site()


def compare(mine: httpx.Response, theirs: httpx.Response) -> None:
    assert mine.status_code == theirs.status_code
    assert mine.content == theirs.content
    named = [{n: v for n, v in r.headers.items() if n not in LEFT_OUT} for r in (mine, theirs)]
    for headers in named:
        if "expires" in headers:  # a page that may not be kept names the second it was made in
            expires = parsedate_to_datetime(headers["expires"])
            headers["expires"] = "now" if expires <= datetime.now(UTC) else headers["expires"]
        headers["vary"] = ", ".join(sorted(headers.get("vary", "").lower().split(", ")))
    assert named[0] == named[1]
