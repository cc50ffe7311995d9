"""Which definitions may be deleted (face): drafts that nothing names."""

from achievements.definition import find_slugs
from achievements.models import Achievement, Status, Tally
from achievements.rulebooks import define


def find_reason_to_keep(obj: Achievement) -> str:
    """Return why this achievement cannot be deleted; empty when it can."""
    was_published = (
        obj.status != Status.DRAFT
        or obj.history.exclude(status=Status.DRAFT).exists()
        or Tally.objects.filter(achievement_id=obj.pk, holders__gt=0).exists()
    )
    if was_published:
        return "it was published, and unlocks, notifications and past rulebooks name it. Retire it."
    others = Achievement.objects.exclude(pk=obj.pk)
    asking = [other.name for other in others if obj.slug in find_slugs(define(other).parse())]
    if asking:
        return f"the criteria of {', '.join(asking)} ask for it. Change them first."
    return ""
