"""The brake on guessing staff passwords."""

import pytest
import time_machine

LOGIN = "/admin/login/"


@pytest.mark.django_db
def test_it_refuses_the_attempts_beyond_the_limit_and_says_when_to_come_back(client, settings):
    settings.API_THROTTLE_RATES = {**settings.API_THROTTLE_RATES, "login": (3, 60)}
    guess = {"username": "staff", "password": "wrong"}
    with time_machine.travel(1_000_000_020, tick=False):  # no minute ends in between
        codes = [client.post(LOGIN, guess).status_code for _ in range(5)]
        refused = client.post(LOGIN, guess)
    assert codes[:3] == [200, 200, 200]
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert client.get(LOGIN).status_code == 200
