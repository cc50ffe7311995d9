"""Who may call: end users of the host site, its services, and staff; a face."""

from dataclasses import dataclass
from typing import Any, ClassVar

from rest_framework.exceptions import NotAuthenticated

from achievements.api.problems import ProblemError, refuse_unknown


@dataclass(frozen=True, slots=True)
class EndUser:
    """Someone with a token of the host site; we hold no account of theirs."""

    user_id: int
    expires_at: float | None = None  # the token's end
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = False

    @property
    def pk(self) -> int:
        return self.user_id


@dataclass(frozen=True, slots=True)
class Service:
    """A program with a service key."""

    prefix: str
    scopes: frozenset[str]
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = False

    @property
    def pk(self) -> str:
        return f"service:{self.prefix}"


def require_end_user(caller: Any) -> int:
    """The user id of the token; 401 without one, 403 for a service or a staff session."""
    if isinstance(caller, EndUser):
        return caller.user_id
    if not caller.is_authenticated:
        raise NotAuthenticated("This needs the Bearer token of an end user.")
    raise ProblemError(403, "This needs the Bearer token of an end user.", code="not_an_end_user")


def require_scope(caller: Any, scope: str) -> None:
    if isinstance(caller, Service) and scope in caller.scopes:
        return
    if not caller.is_authenticated:
        raise NotAuthenticated("This needs a service key: Authorization: Api-Key ...")
    raise ProblemError(403, f"This needs a service key with the scope {scope}.", code="scope")


def is_owner_or_staff(caller: Any, user_id: int) -> bool:
    if isinstance(caller, EndUser):
        return caller.user_id == user_id
    return bool(caller.is_active and caller.is_staff)


def require_reader(caller: Any, user_id: int) -> None:
    """What only the owner and staff may read does not exist for anybody else."""
    if is_owner_or_staff(caller, user_id):
        return
    if not caller.is_authenticated:
        raise NotAuthenticated("This needs the Bearer token of its owner.")
    raise refuse_unknown()


def require_owner(caller: Any, user_id: int) -> None:
    """Writing in somebody else's name is refused by its name: ids are no secret."""
    if require_end_user(caller) != user_id:
        raise ProblemError(403, "The token belongs to another user.", code="other_user")
