"""issue_token and create_service_key: the secret alone on the last line."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from achievements.api.bearer import verify_token
from achievements.models import ServiceKey


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue().splitlines()[-1]


def test_issue_token() -> None:
    assert verify_token(run("issue_token", "--user", "12345")) == 12345


@pytest.mark.parametrize("user", ["0", "-1", str(2**63)])
def test_issue_token_refuses_what_is_no_user_id(user: str) -> None:
    with pytest.raises(CommandError, match="--user"):
        run("issue_token", f"--user={user}")


@pytest.mark.parametrize(
    "changes",
    [
        {"IS_PRODUCTION": True},
        {"JWT_ALGORITHM": "RS256"},
        {"JWT_JWKS_URL": "https://typing.example.org/keys"},
    ],
)
def test_issue_token_is_for_development(settings: Any, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    with pytest.raises(CommandError):
        run("issue_token", "--user", "12345")


def test_create_service_key(db: None) -> None:
    secret = run("create_service_key", "typing site", "--scope", "events:write")
    key: Any = ServiceKey.objects.get_from_key(secret)
    assert (key.name, key.scopes) == ("typing site", ["events:write"])


def test_create_service_key_knows_its_scopes(db: None) -> None:
    with pytest.raises(CommandError):
        run("create_service_key", "site", "--scope", "everything")
    with pytest.raises(CommandError):
        run("create_service_key", "site")


@pytest.mark.parametrize("name", ["", " ", "x" * 51])
def test_create_service_key_keeps_a_name_whole_or_not_at_all(db: None, name: str) -> None:
    with pytest.raises(CommandError, match="1 to 50 characters"):
        run("create_service_key", name, "--scope", "events:write")
    assert not ServiceKey.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("issue_token", "--user=1", "--ttl-seconds=-5"),
        ("issue_token", "--user=1", "--ttl-seconds=999999999999999"),
        ("prepare_local", "--port=0"),
        ("prepare_local", "--port=999999"),
        ("prepare_local", "--port=" + "9" * 5000),
        ("consume_achievement_events", "--metrics-port=99999999"),
        ("replay_dead_letters", "--partition=50"),
        ("replay_dead_letters", "--partition=x"),
    ],
)
def test_a_number_out_of_bounds_is_refused_by_them(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"must be a whole number from [01] to [0-9]+"):
        run(*arguments)


def test_every_copy_of_a_consumer_needs_a_port() -> None:
    with pytest.raises(CommandError, match="--metrics-port"):
        run("consume_achievement_events", "--metrics-port=65535", "--processes=2")
