"""The gallery: what is unlocked, what is under way, and nothing of what is hidden."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import Page, Response, expect

from profiles.models import Profile, TestResult
from profiles.tokens import issue_token
from tests.browser.conftest import TYPIST, wait_until_ready

SECRET_WORDS = ("Moonlighter", "moonlighter", "comet", "Type 3 tests in Latin", "latin")
DEFINITIONS = """
achievements:
  - slug: first-steps
    name: First Steps
    lockedDescription: Finish tests.
    unlockedDescription: You finished tests.
    category: volume
    icon: flag
    criteria: {count: tests}
    levels: [{target: 2, points: 5}, {target: 4, points: 10}, {target: 100, points: 20}]
    sortOrder: 10
    status: live
  - slug: fast
    name: Fast
    lockedDescription: Reach 150 wpm.
    unlockedDescription: You reached 150 wpm.
    category: speed
    icon: bolt
    criteria: {all: [{best: wpm, atLeast: 150}, {count: tests, atLeast: 2}]}
    points: 30
    sortOrder: 20
    status: live
  - slug: moonlighter
    name: Moonlighter
    lockedDescription: Type 3 tests in Latin.
    unlockedDescription: You typed in Latin.
    category: volume
    icon: comet
    hidden: [title, icon, description, count]
    criteria: {count: tests, where: {language: {in: [latin]}}, atLeast: 3}
    points: 40
    sortOrder: 30
    status: live
"""

AVERAGE = """
achievements:
  - slug: steady
    name: Steady
    lockedDescription: Average 40 wpm.
    unlockedDescription: You averaged 40 wpm.
    category: speed
    icon: bolt
    criteria: {average: wpm, last: 10, atLeast: 40}
    points: 5
    sortOrder: 40
    status: live
"""


@pytest.fixture(autouse=True)
def _definitions(transactional_db: None, tmp_path: Path) -> None:
    catalogue = tmp_path / "definitions.yaml"
    catalogue.write_text(DEFINITIONS)
    call_command("load_achievements", str(catalogue), stdout=StringIO())


def save_tests(number: int, *, user_id: int = TYPIST, **fields: Any) -> None:
    for _ in range(number):
        TestResult.objects.create(
            user_id=user_id, **{"wpm": 80, "accuracy": 97, "duration_seconds": 30, **fields}
        )


def open_profile(page: Page, user_id: int = TYPIST) -> Response | None:
    response = page.goto(f"/u/{user_id}")
    wait_until_ready(page)
    return response


def test_it_shows_unlocked_and_moving_achievements(page: Page) -> None:
    Profile.objects.create(user_id=TYPIST, display_name="Ada Quickly")
    save_tests(5)
    open_profile(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Ada Quickly")
    expect(page.locator("#points")).to_have_text("15")
    steps = page.locator('[data-slug="first-steps"]')
    expect(steps).to_have_attribute("data-state", "unlocked")
    expect(steps.locator(".pip.on")).to_have_count(2)
    expect(steps.locator(".pip")).to_have_count(3)
    expect(steps.locator(".amount")).to_contain_text("5 of 100")
    bar = steps.locator("progress")
    assert bar.evaluate("bar => [bar.value, bar.max]") == [5, 100]
    expect(page.locator('[data-slug="fast"]')).not_to_have_attribute("data-state", "unlocked")


def test_the_bar_of_an_average_waits_for_all_its_tests(page: Page, tmp_path: Path) -> None:
    catalogue = tmp_path / "averages.yaml"
    catalogue.write_text(AVERAGE)
    call_command("load_achievements", str(catalogue), stdout=StringIO())
    save_tests(1)
    open_profile(page)
    steady = page.locator('[data-slug="steady"]')
    expect(steady.locator(".amount")).to_have_text("80 of 40 wpm, over 1 of 10 tests")
    assert steady.locator("progress").evaluate("bar => [bar.value, bar.max]") == [10, 100]


def test_every_filter_is_in_sight_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    save_tests(2)
    open_profile(page)
    edges = "nodes => nodes.map((node) => node.getBoundingClientRect().right)"
    assert max(page.locator(".segmented label").evaluate_all(edges)) <= 390


def test_it_reveals_nothing_of_what_is_hidden(page: Page) -> None:
    save_tests(2, language="latin")
    bodies: list[str] = []
    page.on("response", lambda response: bodies.append(response.url))
    open_profile(page)
    mystery = page.locator('.tile[data-state="hidden"]')
    expect(mystery).to_have_count(1)
    expect(mystery.get_by_role("button")).to_have_count(0)
    sent = [page.content()]
    sent += [page.request.get(url).text() for url in bodies if "/api/v1/" in url]
    assert len(sent) == 4
    for word in SECRET_WORDS:
        assert not any(word in text for text in sent), word


def test_it_shows_a_hidden_one_once_it_is_unlocked(page: Page) -> None:
    save_tests(3, language="latin")
    open_profile(page)
    expect(page.locator('.tile[data-state="hidden"]')).to_have_count(0)
    expect(page.get_by_role("heading", name="Moonlighter")).to_be_visible()
    expect(page.locator(".tile")).to_have_count(3)


def test_it_filters_by_state_and_category(page: Page) -> None:
    save_tests(5)
    open_profile(page)
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(3)
    page.locator('input[value="unlocked"] + span').click()
    expect(tiles).to_have_count(1)
    page.locator('input[value="all"] + span').click()
    page.get_by_label("Category").select_option("speed")
    expect(tiles).to_have_count(1)
    expect(page.locator("#announcer")).to_have_text("1 achievements shown")
    page.locator('input[value="hidden"] + span').click()
    expect(page.locator("#nothing-matches")).to_be_visible()


def test_it_tells_its_owner_why_not_yet(page: Page, sign_in: Callable[..., None]) -> None:
    save_tests(1)
    sign_in()
    open_profile(page)
    page.get_by_role("button", name="Fast").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Why not yet")).to_be_visible()
    expect(dialog.locator(".conditions .unmet")).not_to_have_count(0)
    expect(dialog).to_contain_text("150")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Fast")).to_be_focused()


def test_it_tells_others_only_what_is_public(page: Page) -> None:
    save_tests(1)
    open_profile(page)
    page.get_by_role("button", name="Fast").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Reach 150 wpm.")
    expect(dialog.locator(".why")).to_be_empty()


def test_it_welcomes_a_newcomer(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(777)
    open_profile(page, 777)
    expect(page.get_by_role("heading", name="Nothing unlocked yet")).to_be_visible()
    expect(page.locator("#unlocked-count")).to_have_text("0")


def test_it_keeps_a_private_profile_from_others(page: Page, expected_errors: list[str]) -> None:
    expected_errors.append("404")
    Profile.objects.create(user_id=TYPIST, display_name="Prudence", is_private=True)
    save_tests(2)
    response = open_profile(page)
    assert response is not None
    assert response.status == 404
    assert "Prudence" not in response.text()
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    expect(page.locator("#profile")).to_be_hidden()


def test_it_opens_a_private_profile_to_its_owner(page: Page, sign_in: Callable[..., None]) -> None:
    Profile.objects.create(user_id=TYPIST, display_name="Prudence", is_private=True)
    save_tests(2)
    sign_in()
    response = open_profile(page)
    assert response is not None
    assert response.status == 200
    expect(page.locator("#unlocked-count")).to_have_text("1")


def test_it_takes_the_token_that_the_host_site_writes(
    page: Page, settings: Any, tmp_path: Path, expected_errors: list[str]
) -> None:
    """In production the host's own identity.html signs in, also on a page sent as 404."""
    token = issue_token(user_id=TYPIST)
    identity = tmp_path / "profiles" / "identity.html"
    identity.parent.mkdir()
    identity.write_text(f'<meta name="laurel-token" content="{token}">')
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    expected_errors.append(f"/u/{TYPIST}")
    Profile.objects.create(user_id=TYPIST, display_name="Prudence", is_private=True)
    save_tests(2)
    response = open_profile(page)
    assert response is not None
    assert response.status == 404
    expect(page.locator("#unlocked-count")).to_have_text("1")
    expect(page.locator("#missing")).to_be_hidden()
    expect(page.get_by_role("link", name="Profile", exact=True)).to_be_visible()
