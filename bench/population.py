"""Fills the database with users who have a history: each contender gets users of its own."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Final

from django.core.management import call_command

from achievements import tables, unlocks
from achievements.catalogue import load_catalogue
from achievements.events import Event
from achievements.progress import decode_progress
from achievements.rulebook import Rulebook
from achievements.rulebooks import get_rulebook
from bench.timing import say
from bench.workload import SHIPPED, START, Typist, make_row

TEMPLATES: Final = 500
SLICE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Template:
    """A typist with a past, whom many users resemble."""

    typist: Typist
    row: bytes


class Population:
    """Users first .. first + size - 1; each is asked for one further test at most."""

    def __init__(self, templates: Sequence[Template], *, first: int, size: int) -> None:
        self.templates = templates
        self.first = first
        self.size = size
        self._order = list(range(size))
        Random(7).shuffle(self._order)  # the same in every population

    def insert(self, *, with_unlocks: bool = False) -> None:
        """`with_unlocks` also inserts what the users hold; the engine finds that in their rows."""
        for start in range(0, self.size, SLICE):
            ids = range(start, min(start + SLICE, self.size))
            tables.store_progress([(self.first + i, 1, self.template_of(i).row) for i in ids])
            if with_unlocks:
                unlocks.insert_unlocks([unlock for i in ids for unlock in self._list_unlocks(i)])

    def _list_unlocks(self, index: int) -> Iterator[unlocks.UnlockRow]:
        held = decode_progress(self.template_of(index).row).unlocked
        for achievement_id, levels in held.items():
            for level in range(1, levels + 1):
                yield unlocks.UnlockRow(self.first + index, achievement_id, level, START, None, 1)

    def template_of(self, index: int) -> Template:
        return self.templates[index % len(self.templates)]

    def take_events(self, count: int) -> list[Event]:
        """Return the next test of `count` users whom nobody took yet."""
        taken, self._order = self._order[:count], self._order[count:]
        assert len(taken) == count, "the population is used up"
        return [self._finish_test(index) for index in taken]

    def _finish_test(self, index: int) -> Event:
        typist = deepcopy(self.template_of(index).typist)
        typist.random = Random(index)
        typist.user_id = self.first + index
        return typist.finish_test()

    def take_batches(self, count: int, *, size: int) -> Iterator[list[Event]]:
        for _ in range(count):
            yield self.take_events(size)


def prepare_database() -> Rulebook:
    """Create the tables and load the shipped catalogue."""
    call_command("migrate", verbosity=0)
    load_catalogue(SHIPPED)
    return get_rulebook()


def make_templates(rulebook: Rulebook) -> list[Template]:
    """Return typists with histories of 60 to 600 tests, the shorter the more of them."""
    say(f"{TEMPLATES} typists make a history of their own")
    random = Random(1)
    templates = []
    for number in range(TEMPLATES):
        typist = Typist(number + 1, Random(number))
        tests = round(60 * 10 ** random.random())
        templates.append(Template(typist, make_row(rulebook, typist, tests)))
    return templates


def insert_population(
    templates: Sequence[Template], *, number: int, size: int, with_unlocks: bool = False
) -> Population:
    say(f"{size} users are inserted")
    population = Population(templates, first=number * 1_000_000, size=size)
    population.insert(with_unlocks=with_unlocks)
    return population
