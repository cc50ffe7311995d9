"""The example of docs/producing.md runs as it stands, and its event is applied."""

import re
from pathlib import Path

import pytest

from tests.factories import make_broad_catalogue
from tests.faults.fleet import drain, new_group, read_dead_letters, read_topic
from tests.invariants import read_row

PAGE = Path(__file__).resolve().parent.parent / "docs" / "producing.md"


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_the_python_example_sends_an_event_that_counts(kafka) -> None:
    make_broad_catalogue()
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict = {}
    exec(code.replace("kafka.example.org:9092", kafka.bootstrap_servers), names)
    assert names["producer"].flush(30) == 0
    assert names["failed"] == []
    [message] = read_topic()
    assert message.key() == b"12345"
    group = new_group()
    drain(group)
    assert read_row(12345).unlocked
    assert read_dead_letters() == []
