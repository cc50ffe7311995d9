"""Bearer tokens and service keys: what is believed, and what is not."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings as django_settings

from achievements.api.bearer import KeysUnavailableError, TokenError, verify_token
from achievements.events import MAX_ID
from tests.api import USER, Api, read_problem


def make_claims(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": django_settings.JWT_ISSUER,
        "aud": django_settings.JWT_AUDIENCE,
        "sub": str(USER),
        "exp": int(time.time()) + 60,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def sign(claims: dict[str, Any], key: Any = None, algorithm: str = "HS256", **headers: Any) -> str:
    # PyJWT itself would refuse a numeric subject only when it reads the token.
    return jwt.encode(
        claims, key or django_settings.JWT_KEY, algorithm=algorithm, headers=headers or None
    )


@pytest.mark.parametrize("subject", [1, "1", "12345", MAX_ID, str(MAX_ID)])
def test_the_subject_is_the_user_id(subject: int | str) -> None:
    assert verify_token(sign(make_claims(sub=subject))) == int(subject)


def test_what_hosts_also_write_is_accepted() -> None:
    ahead = int(time.time()) + 30  # the host's clock
    audiences = ["other", django_settings.JWT_AUDIENCE]
    assert verify_token(sign(make_claims(aud=audiences, iat=ahead, name="Ada"))) == USER


REFUSED = {
    "expired": {"exp": int(time.time()) - 1},
    "no-exp": {"exp": ...},
    "exp-text": {"exp": "soon"},
    "exp-infinite": {"exp": 1e400},
    "not-yet": {"nbf": int(time.time()) + 86_400},
    "other-issuer": {"iss": "https://elsewhere.example"},
    "no-issuer": {"iss": ...},
    "other-audience": {"aud": "elsewhere"},
    "no-audience": {"aud": ...},
    "no-subject": {"sub": ...},
    "subject-zero": {"sub": 0},
    "subject-negative": {"sub": "-1"},
    "subject-65-bit": {"sub": MAX_ID + 1},
    "subject-long": {"sub": "9" * 5000},
    "subject-float": {"sub": 1.5},
    "subject-true": {"sub": True},
    "subject-name": {"sub": "ada"},
    "subject-spaces": {"sub": " 1"},
    "subject-digits-of-another-script": {"sub": "١٢"},
    "subject-list": {"sub": [1]},
    "subject-null": {"sub": None},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_claims_that_are_not_believed(changes: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        verify_token(sign(make_claims(**changes)))


def test_another_key_or_algorithm_is_not_believed() -> None:
    for token in (
        sign(make_claims(), key="another-secret-that-is-long-enough-to-sign-with-0123"),
        sign(make_claims(), algorithm="HS512", key=django_settings.JWT_KEY * 2),
        jwt.encode(make_claims(), "", algorithm="none"),
        sign(make_claims())[:-2] + "AA",
        "a.b.c",
        "",
        "e30." * 5000,
    ):
        with pytest.raises(TokenError):
            verify_token(token)


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_a_public_key_verifies_and_cannot_be_used_as_a_secret(
    settings: Any, private_key: rsa.RSAPrivateKey
) -> None:
    public = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    settings.JWT_ALGORITHM = "RS256"
    settings.JWT_KEY = public.decode()
    assert verify_token(sign(make_claims(), key=private_key, algorithm="RS256")) == USER

    forged = _sign_with_public_key(make_claims(), public)
    with pytest.raises(TokenError):
        verify_token(forged)


def _sign_with_public_key(claims: dict[str, Any], public: bytes) -> str:
    """The classic confusion: a public key taken for a shared secret. PyJWT will not sign so."""
    import base64
    import hashlib
    import hmac

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT"}
    text = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{encode(hmac.digest(public, text.encode(), hashlib.sha256))}"


@pytest.fixture
def key_server(private_key: rsa.RSAPrivateKey) -> Iterator[tuple[str, list[str]]]:
    """A host site that publishes its keys; the list holds the requests it got."""
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private_key.public_key()))
    body = json.dumps({"keys": [{**jwk, "kid": "one", "use": "sig", "alg": "RS256"}]}).encode()
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks", requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_by_address_are_fetched_once(
    settings: Any,
    private_key: rsa.RSAPrivateKey,
    key_server: tuple[str, list[str]],
) -> None:
    settings.JWT_ALGORITHM = "RS256"
    settings.JWT_JWKS_URL, requests = key_server
    for _ in range(3):
        token = sign(make_claims(), key=private_key, algorithm="RS256", kid="one")
        assert verify_token(token) == USER
    assert len(requests) == 1
    for number in range(20):
        with pytest.raises(TokenError):
            verify_token(sign(make_claims(), private_key, "RS256", kid=f"unknown-{number}"))
    assert len(requests) <= 2


def test_unreachable_keys_are_503_and_no_401(api: Api, settings: Any) -> None:
    token = sign(make_claims(), kid="one")
    settings.JWT_JWKS_URL = "http://127.0.0.1:9/jwks"
    with pytest.raises(KeysUnavailableError):
        verify_token(token)
    for path in ("/achievements", f"/users/{USER}/notifications"):
        response = api.get(path, headers={"Authorization": f"Bearer {token}"})
        read_problem(response, 503)
        assert response["Retry-After"]


@pytest.mark.usefixtures("catalogue")
@pytest.mark.parametrize(
    "path", ["/achievements", f"/users/{USER}/achievements", f"/users/{USER}/notifications"]
)
def test_a_credential_that_was_sent_must_be_valid_everywhere(api: Api, path: str) -> None:
    token = sign(make_claims(exp=1))
    response = api.get(path, headers={"Authorization": f"Bearer {token}"})
    problem = read_problem(response, 401)
    assert problem["detail"] == "The token has expired."
    assert 'error="invalid_token"' in response["WWW-Authenticate"]
    assert token not in response.content.decode()
    for header in ("Bearer", "Bearer a b", "Bearer \xff", "Api-Key nobody.nothing"):
        read_problem(api.get(path, headers={"Authorization": header}), 401)
