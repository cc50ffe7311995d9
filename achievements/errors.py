"""The few errors that cross a module's border (pure floor)."""


class AchievementsError(Exception):
    """The root of what this app raises on purpose."""


class NotDurable(AchievementsError):
    """Events could not be made durable; the sender must send them again."""


class HistoryMoved(AchievementsError):
    """Tests were saved while they were being dropped; the same transaction can be run again."""


class NothingToDrop(AchievementsError):
    """The history belongs to the host site, and it does not offer to drop tests."""


class StaleRulebook(AchievementsError):
    """A row was written under a newer rulebook than the one in hand."""


class StillFilled(AchievementsError):
    """Somebody else is making this document, and takes too long to be waited for."""
