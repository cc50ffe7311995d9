"""The measurement behind every figure, in the browser that runs it."""

from typing import Any

import pytest
from playwright.sync_api import Page

PLAY = """async ({words, strokes, durationMs}) => {
    const {Meter} = await import('/static/profiles/meter.js');
    const meter = new Meter(words);
    for (const [key, atMs] of strokes) {
        if (key === 'erase') meter.erase(1);
        else if (key === 'back') meter.goBack();
        else meter.type(key, atMs);
    }
    return {...meter.measure(durationMs), typed: meter.typed, isFinished: meter.isFinished};
}"""


def play(page: Page, words: list[str], keys: list[str], *, every_ms: int = 100) -> dict[str, Any]:
    strokes = [[key, index * every_ms] for index, key in enumerate(keys)]
    duration_ms = (len(keys) - 1) * every_ms
    page.goto("/")
    return page.evaluate(PLAY, {"words": words, "strokes": strokes, "durationMs": duration_ms})


@pytest.mark.parametrize(
    ("keys", "correct", "accuracy"),
    [
        pytest.param(list("ab cd"), 5, 100, id="all right, with the space between"),
        pytest.param(list("ax cd"), 3, 60, id="a wrong letter costs itself and its word's space"),
        pytest.param([*"ax", "erase", *"b cd"], 5, 83.33, id="erasing does not undo the mistake"),
        pytest.param(list("abb cd"), 4, 66.67, id="a letter too many costs the space"),
        pytest.param([*"ax ", "back", "erase", *"b cd"], 5, 71.43, id="going back to a wrong word"),
        pytest.param([*"ab ", "back", *"cd"], 5, 100, id="a right word is settled"),
        pytest.param([" ", *"ab cd"], 5, 100, id="a space before any letter is no keystroke"),
    ],
)
def test_it_counts_correct_characters(
    page: Page, keys: list[str], correct: int, accuracy: float
) -> None:
    result = play(page, ["ab", "cd"], keys)
    assert result["correctCharacters"] == correct
    assert result["accuracy"] == accuracy


def test_it_measures_speed_by_five_characters_a_word(page: Page) -> None:
    # 51 keys in 5 seconds: 50 intervals of 100 ms
    result = play(page, ["abcd"] * 11, list("abcd " * 10 + "a"))
    assert result["wpm"] == pytest.approx(51 / 5 * 12, abs=0.01)
    assert result["rawWpm"] == result["wpm"]
    assert result["durationSeconds"] == 5


def test_it_calls_an_even_pace_consistent_and_a_jerky_one_not(page: Page) -> None:
    even = play(page, ["abcd"] * 11, list("abcd " * 10 + "a"))
    assert even["consistency"] > 95
    words = {"words": ["abcdefghijklmnopqrstuvwxyz"], "durationMs": 4000}
    strokes = [[key, 10 * index] for index, key in enumerate("abcdefghijklmnopqrst")]
    jerky = page.evaluate(PLAY, {**words, "strokes": [*strokes, ["u", 4000]]})
    assert jerky["consistency"] < 30


def test_an_even_pace_does_not_drop_in_the_rest_of_a_second(page: Page) -> None:
    result = play(page, ["abcd"] * 11, list("abcd " * 10 + "ab"))
    *_, whole, rest = result["seconds"]
    assert (whole["isWhole"], rest["isWhole"], rest["atSeconds"]) == (True, False, 5.1)
    assert rest["rawWpm"] == whole["rawWpm"] == 120


def test_it_says_nothing_of_consistency_within_a_second(page: Page) -> None:
    assert play(page, ["ab", "cd"], list("ab cd"))["consistency"] is None


def test_it_stops_counting_after_the_last_word(page: Page) -> None:
    result = play(page, ["ab"], list("ax yy"))
    assert result["isFinished"]
    assert result["characters"] == 3
