"""How far a former site's rows are imported, and by which terms (services floor): rows of Job."""

import hashlib
from typing import Final, NamedTuple

from achievements.claims import Rules
from achievements.legacy import LegacyDatabase
from achievements.models import Job
from achievements.transactions import run_transaction

# Ids are given before their rows are committed: a run starts this many rows before the last
# one's end, for those that came in behind it.
OVERLAP_ROWS: Final = 10_000
_PREFIX: Final = "import "


class Cursor(NamedTuple):
    """How far a part of the source is imported: a row of Job by this name.

    Another source, other rules or another first row begin from the start.
    """

    source_name: str
    terms_name: str
    first_id: int

    @property
    def job_name(self) -> str:
        # Fits into Job.name: 31, 25 and at most 20 characters.
        part = f" {self.first_id}" if self.first_id > 1 else ""
        return f"{self.source_name}{self.terms_name}{part}"

    @property
    def mark_name(self) -> str:
        """The row of Job that says: what was imported before may be by other terms."""
        return f"{self.source_name}{self.terms_name} again"


def make_cursor(source: LegacyDatabase, rules: Rules, *, first_id: int = 1) -> Cursor:
    terms = (sorted(rules.levels.items()), str(rules.zone), str(rules.unknown_time))
    return Cursor(f"{_PREFIX}{_digest(source.label)}", f" {_digest(repr(terms))}", first_id)


def has_other_terms(cursor: Cursor) -> bool:
    """Whether the source was imported by other rules."""
    same = cursor.source_name + cursor.terms_name
    jobs = Job.objects.filter(name__startswith=cursor.source_name)
    return jobs.exclude(name__startswith=same).exists()


def is_correcting(cursor: Cursor) -> bool:
    """Whether runs by these rules have to correct what was imported before."""
    return Job.objects.filter(name=cursor.mark_name).exists() or has_other_terms(cursor)


def begin_again(cursor: Cursor) -> None:
    """Begin with the first row, and correct what was imported before; so do the other parts where
    it was by other rules. Kept until the rules change: a run may be killed at any moment.
    """

    def work() -> None:
        same = cursor.source_name + cursor.terms_name
        jobs = Job.objects.filter(name__startswith=cursor.source_name)
        Job.objects.get_or_create(name=cursor.mark_name)
        jobs.exclude(name__startswith=same).delete()
        jobs.filter(name=cursor.job_name).delete()

    run_transaction(work)


def has_other_source(cursor: Cursor) -> bool:
    """Whether unlocks came from elsewhere as well: no row says from where."""
    jobs = Job.objects.filter(name__startswith=_PREFIX, cursor__gt=0)
    return jobs.exclude(name__startswith=cursor.source_name).exists()


def find_last_part(cursor: Cursor) -> int:
    """Return the first row of the last part that is imported by these rules; 1 without parts."""
    same = cursor.source_name + cursor.terms_name
    names = Job.objects.filter(name__startswith=same).values_list("name", flat=True)
    parts = [name.removeprefix(same).strip() for name in names]
    return max([1, *(int(part) for part in parts if part.isdecimal())])


def find_start(source: LegacyDatabase, cursor: Cursor, *, overlap_rows: int = OVERLAP_ROWS) -> int:
    """Return the id after which a run begins: a little before the place where the last stopped."""
    job = Job.objects.filter(name=cursor.job_name, cursor__gt=0).first()
    start = cursor.first_id - 1
    return max(start, source.step_back(job.cursor, overlap_rows)) if job else start


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
