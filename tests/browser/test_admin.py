import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from achievements.models import Achievement

PREVIEW = "[data-laurel-preview]"


@pytest.fixture
def editor(page: Page):
    User.objects.create_superuser("ada", "ada@example.org", "pw")
    page.goto("/admin/login/?next=/admin/achievements/achievement/add/")
    page.fill("[name=username]", "ada")
    page.fill("[name=password]", "pw")
    page.press("[name=password]", "Enter")
    page.wait_for_selector(PREVIEW)
    page.wait_for_load_state("load")  # before it our scripts do not listen
    return page


def test_an_editor_sees_the_sentence_and_the_problems_while_typing(editor: Page):
    editor.fill("[name=criteria]", '{"all": [{"best": "wpm"}, {"count": "days"}]}')
    expect(editor.locator(PREVIEW)).to_contain_text("criteria → all → 1 → count: count takes")
    editor.fill("[name=criteria]", '{"best": "wpm"}')
    editor.fill("[name=levels-0-target]", "60")
    editor.fill("[name=levels-0-points]", "5")
    editor.get_by_role("button", name="Add a level").click()
    editor.fill("[name=levels-1-target]", "80")
    editor.fill("[name=levels-1-points]", "10")
    expect(editor.locator(PREVIEW)).to_contain_text("Level 2: Reach 80 wpm. (10 points)")
    editor.get_by_role("button", name="Remove this level").first.click()
    expect(editor.locator(PREVIEW)).to_contain_text("Level 1: Reach 80 wpm. (10 points)")


def test_an_editor_makes_a_draft_and_publishes_it(editor: Page):
    for name, text in {
        "slug": "swift",
        "name": "<img src=x onerror=alert(1)>",
        "category": "speed",
        "locked_description": "Reach 60 wpm.",
        "unlocked_description": "You did.",
        "criteria": '{"best": "wpm", "atLeast": 60}',
        "levels-0-points": "10",
    }.items():
        editor.fill(f"[name={name}]", text)
    editor.select_option("[name=icon]", "bolt")
    expect(editor.locator("[data-laurel-icon] img")).to_be_visible()
    editor.click("[name=_continue]")
    editor.get_by_role("link", name="Publish").click()
    editor.get_by_role("button", name="Publish").click()
    expect(editor.locator("body")).to_contain_text("1 achievement published.")
    assert Achievement.objects.get(slug="swift").status == "live"
