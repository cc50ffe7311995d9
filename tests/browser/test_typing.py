"""The main job in a browser: a typed test is measured, saved, checked, and shows its unlocks."""

import math
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import Page, Route, expect

from profiles.models import TestResult
from tests.browser.conftest import TYPIST, choose_words_test, read_words, wait_until_ready

CATALOGUE = "achievements/catalogues/typing.yaml"


@pytest.fixture(autouse=True)
def _catalogue(transactional_db: None) -> None:
    call_command("load_achievements", CATALOGUE, stdout=StringIO())


def type_test(page: Page, words: list[str], *, delay_ms: int = 45) -> float:
    """Type at 270 wpm, as the site refuses more than 420; return the seconds between the first key
    and the last as the page saw them: this process may stop before or after.
    """
    page.evaluate(
        "() => { window.keyTimes = []; addEventListener('input', (event) =>"
        " window.keyTimes.push(event.timeStamp), true); }"
    )
    page.keyboard.type(" ".join(words), delay=delay_ms)
    times = page.evaluate("window.keyTimes")
    return float(times[-1] - times[0]) / 1000


def test_it_measures_a_typed_test_and_unlocks(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in()
    words = choose_words_test(page)
    seconds = type_test(page, words)

    expect(page.locator("#result")).to_be_visible()
    shown = int(page.locator("#result-wpm").inner_text())
    by_its_keys = len(" ".join(words)) / 5 / (seconds / 60)
    assert shown == pytest.approx(by_its_keys, rel=0.05)
    expect(page.locator("#result-accuracy")).to_have_text("100%")

    expect(page.locator("#unlocks .unlock").first).to_be_visible()
    names = page.locator("#unlocks h3").all_inner_texts()
    assert names
    more = page.get_by_role("button", name="more")
    if more.count():
        more.click()
    names = page.locator("#unlocks h3").all_inner_texts()
    assert len(names) == len(set(names))
    points_said = page.locator("#announcer").inner_text()
    assert f"{len(names)} achievement" in points_said

    saved = TestResult.objects.get(user_id=TYPIST)
    assert math.floor(saved.wpm + 0.5) == shown  # as JavaScript rounds
    assert (saved.mode, saved.length, saved.language) == ("words", 10, "english")
    assert saved.characters == len(" ".join(words))

    page.get_by_role("link", name="See your profile").click()
    wait_until_ready(page)
    unlocked = page.locator('.tile[data-state="unlocked"] h3')
    assert set(names) <= set(unlocked.all_inner_texts())
    assert int(page.locator("#unlocked-count").inner_text()) == len(names)
    assert page.locator("#points").inner_text() in points_said


def test_it_shows_toasts_to_a_typist_who_went_on(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in()
    held: list[Route] = []
    page.route("**/outcome", lambda route: held.append(route))
    words = choose_words_test(page)
    with page.expect_request("**/outcome"):
        type_test(page, words)
    page.keyboard.press("Escape")
    expect(page.locator("#result")).to_be_hidden()
    held[0].continue_()
    expect(page.locator(".toast .unlock").first).to_be_visible()
    expect(page.locator("#typed")).to_be_focused()


def test_it_marks_mistakes_and_lets_them_be_erased(
    page: Page, sign_in: Callable[..., None]
) -> None:
    sign_in()
    first, second, *rest = choose_words_test(page)
    wrong = "x" if first[0] != "x" else "y"
    page.keyboard.type(wrong)
    expect(page.locator(".word").first.locator(".wrong")).to_have_count(1)
    page.keyboard.press("Backspace")
    expect(page.locator(".word .wrong")).to_have_count(0)
    page.keyboard.type(first + "zz ")
    expect(page.locator(".word").first).to_have_attribute("data-extra", "zz")
    page.keyboard.press("Backspace")  # back into the word that was left wrong
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    expect(page.locator(".word").first).not_to_have_class("word missed")
    type_test(page, ["", second, *rest])
    expect(page.locator("#result")).to_be_visible()
    right = len(" ".join([first, second, *rest]))
    expect(page.locator("#result-characters")).to_have_text(f"{right} / {right + 4}")


def test_it_reads_composed_letters_once(page: Page, sign_in: Callable[..., None]) -> None:
    """Phones compose whole words; a dead key composes an accent and then its letter."""
    sign_in()
    words = choose_words_test(page)
    keyboard = page.context.new_cdp_session(page)

    def compose(text: str) -> None:
        place = {"selectionStart": len(text), "selectionEnd": len(text)}
        keyboard.send("Input.imeSetComposition", {"text": text, **place})

    right = page.locator(".word").first.locator(".right")
    compose("´")
    expect(page.locator("#typing")).to_have_attribute("data-state", "ready")
    compose(words[0][:1])
    compose(words[0][:2])
    expect(right).to_have_count(2)
    keyboard.send("Input.insertText", {"text": words[0]})
    expect(right).to_have_count(len(words[0]))
    type_test(page, ["", *words[1:]])
    typed = len(" ".join(words))
    expect(page.locator("#result-characters")).to_have_text(f"{typed} / {typed}")


def test_it_runs_by_keyboard_alone(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in()
    words = choose_words_test(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#typed")).to_be_focused()
    expect(page.locator("#prompt-text")).not_to_have_text(" ".join(words))
    type_test(page, read_words(page))
    expect(page.locator("#result")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#typing")).to_be_visible()
    expect(page.locator("#typed")).to_be_focused()


def test_it_types_after_an_option_was_chosen_by_keys(
    page: Page, sign_in: Callable[..., None]
) -> None:
    sign_in()
    page.locator('input[value="time"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    chosen = page.locator('input[name="words"][value="10"]')
    expect(chosen).to_be_focused()
    expect(page.locator(".word")).to_have_count(10)
    expect(chosen).to_be_focused()
    page.keyboard.type(read_words(page)[0])
    expect(page.locator("#typed")).to_be_focused()
    expect(page.locator("#typing")).to_have_attribute("data-state", "running")


def test_it_leaves_letters_to_the_list_of_languages(
    page: Page, sign_in: Callable[..., None]
) -> None:
    sign_in()
    languages = page.locator('select[name="language"]')
    languages.focus()
    page.keyboard.press("d")
    expect(languages).to_have_value("german")
    expect(page.locator("#words")).to_have_attribute("lang", "de")
    expect(languages).to_be_focused()


def test_it_never_moves_the_page_while_typing(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in()
    words = choose_words_test(page)
    place = "node => JSON.stringify(node.getBoundingClientRect())"
    prompt, restart = page.locator("#prompt"), page.locator("#restart")
    before = prompt.evaluate(place), restart.evaluate(place)
    page.keyboard.type(f"{words[0]}zzzzzz {words[1]} ", delay=20)
    assert (prompt.evaluate(place), restart.evaluate(place)) == before


def test_it_ends_a_timed_test_by_the_clock(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in()
    page.clock.install()
    page.goto("/")
    wait_until_ready(page)
    page.get_by_text("15", exact=True).click()
    expect(page.locator("#typed")).to_be_focused()
    expect(page.locator("#clock")).to_have_text("15")
    page.keyboard.type(" ".join(read_words(page)[:5]) + " ")
    page.clock.run_for(16_000)
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("#result-duration")).to_have_text("15 s")


def test_it_keeps_nothing_of_a_stranger(page: Page, settings: Any) -> None:
    settings.DEBUG = False
    stranger = TYPIST + 1  # a result of the test before may still be on its way
    page.goto(f"/?as={stranger}")
    wait_until_ready(page)
    expect(page.locator("[data-demo]")).to_have_count(0)
    assert page.locator('meta[name="laurel-token"]').get_attribute("content") == ""
    type_test(page, choose_words_test(page))
    expect(page.locator("#outcome-status")).to_contain_text("Not saved")
    assert not TestResult.objects.exclude(user_id=TYPIST).exists()


def test_it_says_why_a_result_was_refused(
    page: Page, sign_in: Callable[..., None], expected_errors: list[str]
) -> None:
    expected_errors.append("/api/v1/test-results")
    sign_in()
    words = choose_words_test(page)
    page.route(
        "**/api/v1/test-results",
        lambda route: route.continue_(post_data={**route.request.post_data_json, "wpm": 421}),
    )
    type_test(page, words)
    status = page.locator('#outcome-status[data-state="trouble"]')
    expect(status).to_have_text("Not saved. This is faster than the site believes.")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    assert not TestResult.objects.exclude(user_id=TYPIST).exists()


def test_a_result_whose_answer_was_lost_is_saved_once(
    page: Page, sign_in: Callable[..., None], expected_errors: list[str]
) -> None:
    expected_errors.append("/api/v1/test-results")
    sign_in()
    words = choose_words_test(page)
    answers: list[Any] = []

    def lose_the_first_answer(route: Route) -> None:
        answers.append(route.fetch())
        if len(answers) == 1:
            route.abort()
        else:
            route.fulfill(response=answers[-1])

    page.route("**/api/v1/test-results", lose_the_first_answer)
    type_test(page, words)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#unlocks .unlock").first).to_be_visible()
    assert answers[0].json() == answers[1].json()
    assert TestResult.objects.filter(user_id=TYPIST).count() == 1


def test_it_offers_to_try_again_what_failed_for_now(
    page: Page, sign_in: Callable[..., None], expected_errors: list[str]
) -> None:
    expected_errors.append("/api/v1/test-results")
    sign_in()
    words = choose_words_test(page)
    answers = [{"status": 503, "json": {"detail": "Not now."}}]
    page.route(
        "**/api/v1/test-results",
        lambda route: route.fulfill(**answers.pop()) if answers else route.continue_(),
    )
    type_test(page, words)
    expect(page.locator("#outcome-status")).to_contain_text("Not saved. Not now.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#outcome-status")).not_to_contain_text("Not saved")
    expect(page.locator('#outcome-status[data-state="unlocked"]')).to_be_visible()
