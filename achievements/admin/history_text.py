"""How a change reads in the history of a definition (face)."""

from typing import Any

from simple_history.template_utils import HistoricalRecordContextHelper

from achievements.admin.criteria_text import format_tree


class JsonContextHelper(HistoricalRecordContextHelper):  # type: ignore[misc]
    """Shows criteria and levels as the JSON that staff typed, not as Python."""

    def prepare_delta_change_value(self, change: Any, value: Any) -> Any:
        if isinstance(value, dict | list):
            return format_tree(value)
        return super().prepare_delta_change_value(change, value)
