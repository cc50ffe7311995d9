"""What a gauge reads is what its judge decides, for any criteria and any history."""

from hypothesis import given

from achievements.definition import Definition
from achievements.gauge import Situation, make_gauge
from achievements.progress import apply_events, start_progress
from achievements.rule import View
from tests.achievements.strategies import Life, compile_rulebook, definition_lists, lives


@given(definition_lists(), lives(can_invalidate=False))
def test_a_goal_is_full_when_its_judge_says_so(definitions: list[Definition], life: Life) -> None:
    rulebook = compile_rulebook(definitions)
    row = start_progress(rulebook)
    apply_events(rulebook, row, life.tests)
    ids = {d.slug: d.achievement_id for d in definitions}
    unlocked = row.unlocked
    situation = Situation(row, lambda slug: unlocked.get(ids.get(slug, 0), 0) > 0)
    view = View(row.values, row.reported, unlocked)
    for rule in rulebook.rules:
        for node, judge in zip(rule.nodes, rule.judges, strict=True):
            reading = make_gauge(node, rulebook)(situation)
            assert reading.met == judge(view)
            assert (reading.percent == 100) == reading.met
            assert 0 <= reading.percent <= 100
            if not reading.met and reading.current is not None:
                assert reading.current >= 0
