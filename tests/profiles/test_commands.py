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
