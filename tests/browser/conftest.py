"""A real Chromium on the live server; every page must end without errors or policy violations."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TYPIST = 12345


expect.set_options(timeout=15_000)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip("NO CHROMIUM: the pages were not tested. Bring it: apt-get install chromium")
    with sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, in which Django refuses the ORM; nothing
        # here runs inside that loop, so the tests may use it as always.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def expected_errors() -> list[str]:
    """What a test expects in the console: a part of each message, such as a refused address."""
    return []


@pytest.fixture
def page(
    transactional_db: None, live_server: Any, chromium: Browser, expected_errors: list[str]
) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=live_server.url, viewport={"width": 1100, "height": 800}
    )
    context.set_default_timeout(15_000)
    context.add_init_script(
        "addEventListener('securitypolicyviolation', (event) =>"
        " console.error('policy', event.violatedDirective, event.blockedURI));"
    )
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location.get('url', '')}")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(f"uncaught: {error}"))
    yield page
    context.close()
    unexpected = [one for one in errors if not any(part in one for part in expected_errors)]
    assert not unexpected


@pytest.fixture
def sign_in(page: Page, settings: Any) -> Callable[..., None]:
    """Signs a demo typist in, as the home page does in development."""

    def open_home(user_id: int = TYPIST) -> None:
        settings.DEBUG = True
        page.goto(f"/?as={user_id}")
        wait_until_ready(page)

    return open_home


def wait_until_ready(page: Page) -> None:
    page.wait_for_selector("html[data-ready]", state="attached")


def choose_words_test(page: Page, length: int = 10) -> list[str]:
    """Choose a words test with the mouse and return the words that it asks for."""
    page.get_by_text("words", exact=True).click()
    page.get_by_text(str(length), exact=True).click()
    expect(page.locator(".word")).to_have_count(length)
    expect(page.locator("#typed")).to_be_focused()
    return read_words(page)


def read_words(page: Page) -> list[str]:
    return page.eval_on_selector_all(".word", "nodes => nodes.map((node) => node.textContent)")
