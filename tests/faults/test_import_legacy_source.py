"""import_legacy and its source: what real tables hold, and a server that is away."""

import json
import re
import time

import pytest
from django.core.management import CommandError, call_command

from achievements.legacy import LegacyDatabase
from achievements.models import Job, UserAchievement, UserProgress
from deploy.local.servers import MariaDB
from tests.faults.hammer import FIRST_USER
from tests.faults.move import Move, make_rows, read_cursor
from tests.legacy import (
    day,
    open_legacy_site,
)

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]


def test_what_no_datetime_can_hold_is_named(move) -> None:
    user = FIRST_USER
    move.site.add_unlocks(
        [
            (user, 1, "0000-00-00 00:00:00"), (user, 1, "2019-00-00 00:00:00"), (user, 1, None),
            (user, 5, day(1)), (None, 5, day(1)), (-1, 5, day(1)), (user, 6, day(1)),
        ]
    )  # fmt: skip
    process = move.start()
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 3, output
    assert "6 rows need a person" in output
    assert "  6: ?  # Old 6" in output
    lines = [json.loads(line) for line in move.report.open()]
    assert [(line["id"], line["reason"], line["unlockedAt"]) for line in lines[:3]] == [
        (1, "no_time", "0000-00-00 00:00:00"),
        (2, "no_time", "2019-00-00 00:00:00"),
        (3, "no_time", None),
    ]
    move.check([(user, 5, day(1))], [])


@pytest.mark.parametrize(("column", "hour"), [("DATETIME(6)", 10), ("TIMESTAMP", 12)])
def test_a_timestamp_is_an_instant_and_a_datetime_is_not(
    transactional_db, tmp_path, column, hour
) -> None:
    with open_legacy_site(time=column) as site:
        move = Move(site, tmp_path)
        site.execute("SET time_zone = '+00:00'")
        site.add_unlocks([(FIRST_USER, 1, "2019-07-01 12:00:00")])
        move.run("--timezone", "Europe/Berlin")
    row = UserAchievement.objects.get(user_id=FIRST_USER)
    assert row.unlocked_at.isoformat() == f"2019-07-01T{hour}:00:00+00:00"


def test_a_source_that_is_away_or_refuses(move) -> None:
    url = move.site.url
    for wrong in (re.sub(r":\d+/", ":1/", url), url.replace("laurel:", "nobody:"),
                  url + "_not"):  # fmt: skip
        move.site.url = wrong
        process = move.start()
        output = process.communicate(timeout=120)[0]
        assert process.returncode == 1
        assert "CommandError: --source: table achievements cannot be read" in output
        assert url.split(":")[2].split("@")[0] not in output  # the password
    assert not Job.objects.exists()


def test_a_source_that_goes_away_in_the_middle_is_waited_for(transactional_db, tmp_path) -> None:
    server = MariaDB({"innodb_log_file_size": "8M", "innodb_buffer_pool_size": "32M"})
    with server, open_legacy_site(server_url=server.url) as site:
        move = Move(site, tmp_path)
        rows = make_rows(each=10)
        site.add_unlocks(rows)
        process = move.start("--slice", 20, FAILPOINT="before_commit:sleep 0.05")
        deadline = time.monotonic() + 30
        while read_cursor() == 0:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.kill()
        server.start()
        output = process.communicate(timeout=120)[0]
        assert process.returncode == 0, output
        move.check(rows, [])


def test_ids_that_are_written_as_text(move) -> None:
    """Users are looked for by text there: a number would be compared with each row."""
    move.site.execute("ALTER TABLE user_achievements MODIFY user_id VARCHAR(20)")
    move.site.execute("ALTER TABLE user_achievements MODIFY achievement_id VARCHAR(20)")
    move.site.execute("ALTER TABLE user_achievements ADD INDEX (user_id, unlocked_at)")
    move.site.execute("ALTER TABLE achievements MODIFY id VARCHAR(20)")
    rows = make_rows(each=2)
    move.site.add_unlocks(rows)
    move.run("--timezone", "Asia/Kolkata")
    assert "corrected:" in move.run()
    move.check(rows, [])
    source = LegacyDatabase(move.site.url)
    source.check()
    assert source.finds_users()
    source.close()
    move.site.add_unlocks([("017", "1", day(1)), ("seventeen", "1", day(1)), ("17", "6", day(1))])
    output = move.start("--dry-run").communicate(timeout=120)[0]
    assert "2  bad_user" in output
    assert "  6: ?  # Old 6" in output


def test_the_source_is_never_written(move) -> None:
    """Its session is read-only, whatever the account may do."""
    source = LegacyDatabase(move.site.url)
    with pytest.raises(Exception, match="READ ONLY"):
        source._connect().cursor().execute("DELETE FROM user_achievements")
    source.close()


def test_columns_that_are_missing_are_named(move) -> None:
    move.site.execute("ALTER TABLE achievements DROP COLUMN name")
    with pytest.raises(CommandError, match="table achievements has no column name"):
        call_command(*map(str, move.arguments), source=move.site.url)
    move.site.execute("DROP TABLE achievements")
    with pytest.raises(CommandError, match="table achievements cannot be read"):
        call_command(*map(str, move.arguments), source=move.site.url)
    assert not UserProgress.objects.exists()
