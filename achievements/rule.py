"""One live achievement, compiled (pure floor): criteria become closures over values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from achievements.criteria import Node, Reach, Unlocked, set_target
from achievements.definition import Definition, find_node_measures


class View(NamedTuple):
    """What a compiled node is judged on."""

    values: list[Any]
    reported: int  # the highest testCount that the site sent
    unlocked: Mapping[int, int]


Judge = Callable[[View], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """`judges[n]` decides level n + 1."""

    definition: Definition
    nodes: tuple[Node, ...]
    judges: tuple[Judge, ...]
    positions: frozenset[int]  # of the measures that it asks for
    needs: int  # positions below this must be backed by history before it is judged


def compile_rule(
    definition: Definition, positions: Mapping[str, int], ids: Mapping[str, int]
) -> Rule:
    """`positions` places measures by key, `ids` gives achievements by slug."""
    node = definition.parse()
    nodes = tuple(set_target(node, level.target) for level in definition.levels)
    judges = tuple(_make_judge(n, positions, ids) for n in nodes)
    asked = frozenset(positions[m.key] for m in find_node_measures(node))
    return Rule(definition, nodes, judges, asked, needs=max(asked, default=-1) + 1)


def read_value(kind: str, value: Any) -> float:
    """Return the number that is judged; it never falls while tests are added."""
    if kind == "distinct":
        return len(value)
    return value[0] if kind in ("average", "run", "streak") else value  # type: ignore[no-any-return]


def _make_judge(node: Node, positions: Mapping[str, int], ids: Mapping[str, int]) -> Judge:
    if isinstance(node, Reach):
        return _make_reach_judge(node, positions)
    if isinstance(node, Unlocked):
        achievement_id = ids.get(node.slug, 0)
        return lambda view: view.unlocked.get(achievement_id, 0) > 0
    needed, judges = node.needed, [_make_judge(child, positions, ids) for child in node.children]
    return lambda view: sum(judge(view) for judge in judges) >= needed


def _make_reach_judge(node: Reach, positions: Mapping[str, int]) -> Judge:
    position, threshold = positions[node.measure.key], node.threshold
    if node.measure.is_total:
        return lambda view: max(view.values[position], view.reported) >= threshold
    kind = node.measure.kind
    return lambda view: read_value(kind, view.values[position]) >= threshold
