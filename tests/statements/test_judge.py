"""The judge of statements: what it must let pass, and what it must refuse."""

import pytest

from tests.statements.judge import Unreadable, find_faults, normalise, parse

TABLES = ["outbox", "test_results", "user_achievements", "user_progress"]
KEYS = "JSON_TABLE(:p0, '$[*]' COLUMNS (id BIGINT PATH '$')) k"


def judge(sql: str, *, is_routed: bool = False) -> list[str]:
    return find_faults(parse(sql, None), TABLES, is_routed=is_routed)


SINGLE_SHARD = {
    "one user": "SELECT state FROM user_progress WHERE user_id = :p0",
    "quoted and qualified": "SELECT `a`.`b` FROM `user_progress` `a` WHERE `a`.`user_id` = 5",
    "some users": "SELECT state FROM user_progress WHERE user_id IN (:p0, :p1) AND revision > 3",
    "the key of an object": "SELECT * FROM test_results WHERE (user_id, id) = (:p0, :p1)",
    "keys": "SELECT * FROM test_results WHERE (user_id, id) IN ((:p0, :p1), (:p2, :p3))",
    "a locked list": f"SELECT p.state FROM {KEYS} STRAIGHT_JOIN user_progress p"
    " ON p.user_id = k.id FOR UPDATE",
    "two tables of a user": "SELECT * FROM user_progress p JOIN user_achievements a"
    " ON a.user_id = p.user_id WHERE p.user_id = 1",
    "an outer join": "SELECT * FROM user_progress p LEFT JOIN user_achievements a"
    " ON a.user_id = p.user_id AND a.level > 1 WHERE p.user_id IN (1, 2)",
    "a subquery of the same user": "SELECT * FROM user_progress p WHERE p.user_id = 1 AND EXISTS"
    " (SELECT 1 FROM outbox o WHERE o.user_id = p.user_id)",
    "a derived table": "SELECT COUNT(*) FROM (SELECT level FROM user_achievements"
    " WHERE user_id = 1) held",
    "a union": "SELECT 1 FROM outbox WHERE user_id = 1 UNION ALL SELECT 2 FROM outbox"
    " WHERE user_id = 2",
    "an update": "UPDATE user_progress SET state = '' WHERE user_id = 1 AND revision = 2",
    "a deletion": "DELETE FROM outbox WHERE id IN (1, 2) AND user_id IN (3, 4)",
    "a deletion by alias": "DELETE o FROM outbox o FORCE INDEX (PRIMARY)"
    " WHERE o.id IN (1) AND o.user_id IN (2)",
    "an insertion": "INSERT INTO outbox (event, user_id) VALUES ('', 1), ('', :p0)",
    "an upsert": "INSERT INTO user_progress (user_id, revision, state) VALUES (1, 2, x'ff')"
    " ON DUPLICATE KEY UPDATE revision = VALUES(revision)",
    "an insertion of what is read": "INSERT INTO test_results (user_id, id) SELECT user_id, id"
    " FROM user_achievements WHERE user_id IN (1, 2)",
    "skipping": "SELECT id FROM outbox WHERE user_id = 1 LIMIT 5 FOR UPDATE SKIP LOCKED",
    "other tables": "SELECT * FROM achievements WHERE category = 'speed' OR slug > 'a'",
    "no table": "SELECT GET_LOCK('relay', 0)",
    "a definition": "ALTER TABLE user_progress ADD COLUMN note INT",
    "partitions": "ALTER TABLE user_progress PARTITION BY HASH(user_id) PARTITIONS 8",
}

CROSS_SHARD = {
    "nothing": "SELECT * FROM user_progress",
    "another column": "SELECT user_id FROM user_achievements WHERE achievement_id = 3",
    "or": "SELECT * FROM user_progress WHERE user_id = 1 OR revision = 2",
    "or of users": "SELECT * FROM test_results WHERE (user_id = 1 AND id = 2)"
    " OR (user_id = 2 AND id = 3)",
    "not": "SELECT * FROM user_progress WHERE NOT user_id = 1",
    "not in": "SELECT * FROM user_progress WHERE user_id NOT IN (1, 2)",
    "a range": "SELECT * FROM user_progress WHERE user_id > 5 ORDER BY user_id LIMIT 10",
    "between": "SELECT * FROM user_progress WHERE user_id BETWEEN 5 AND 9",
    "row comparison": "SELECT * FROM test_results WHERE (user_id, id) > (1, 2)",
    "a computed user": "SELECT * FROM user_progress WHERE user_id % 8 = 1",
    "a column as value": "SELECT * FROM user_progress WHERE user_id = revision",
    "a column in the list": "SELECT * FROM user_progress WHERE user_id IN (1, revision)",
    "users from a subquery": "SELECT * FROM user_progress WHERE user_id IN"
    " (SELECT user_id FROM outbox WHERE user_id = 1)",
    "a subquery of all": "SELECT * FROM user_progress p WHERE p.user_id = 1 AND EXISTS"
    " (SELECT 1 FROM outbox o WHERE o.id = p.revision)",
    "a subquery of another": "SELECT * FROM user_progress WHERE user_id = 1 AND revision IN"
    " (SELECT id FROM outbox WHERE user_id = 2)",
    "two users joined": "SELECT * FROM user_progress a JOIN user_progress b ON a.revision ="
    " b.revision WHERE a.user_id = 1 AND b.user_id = 2",
    "a join without the user": "SELECT * FROM user_progress p JOIN user_achievements a"
    " ON a.level = p.revision WHERE p.user_id = 1",
    "an outer join that chooses": "SELECT * FROM user_progress p LEFT JOIN user_achievements a"
    " ON a.user_id = p.user_id AND p.user_id = 1",
    "a foreign table": "SELECT * FROM user_achievements u JOIN achievements a"
    " ON a.id = u.achievement_id WHERE u.user_id = 1",
    "a foreign subquery": "SELECT * FROM user_achievements WHERE user_id = 1 AND achievement_id IN"
    " (SELECT id FROM achievements WHERE category = 'speed')",
    "a derived table of all": "SELECT * FROM (SELECT * FROM user_progress) p WHERE p.user_id = 1",
    "one side of a union": "SELECT 1 FROM outbox WHERE user_id = 1 UNION ALL SELECT 1 FROM outbox",
    "keys of another column": f"SELECT o.id FROM {KEYS} STRAIGHT_JOIN outbox o ON o.id = k.id",
    "an update of all": "UPDATE user_achievements SET level = 1 WHERE achievement_id = 4",
    "an update of the user": "UPDATE user_progress SET user_id = 2 WHERE user_id = 1",
    "an upsert of the user": "INSERT INTO user_progress (user_id, revision) VALUES (1, 2)"
    " ON DUPLICATE KEY UPDATE user_id = VALUES(user_id)",
    "a deletion by age": "DELETE FROM test_results WHERE completed_at < '2026-01-01' LIMIT 100",
    "a deletion by id": "DELETE FROM outbox WHERE id IN (1, 2)",
    "an insertion without columns": "INSERT INTO user_progress VALUES (1, 2, '')",
    "an insertion without the user": "INSERT INTO outbox (event) VALUES ('')",
    "an insertion of everything": "INSERT INTO test_results (user_id, id) SELECT user_id, id"
    " FROM outbox",
    "an insertion of another user": "INSERT INTO test_results (user_id, id) SELECT level, level"
    " FROM user_achievements WHERE user_id = 1",
    "what cannot be read": "REPLACE INTO user_progress (user_id) VALUES (1)",
}


@pytest.mark.parametrize("name", SINGLE_SHARD)
def test_it_lets_pass(name: str) -> None:
    assert judge(SINGLE_SHARD[name]) == []


@pytest.mark.parametrize("name", CROSS_SHARD)
def test_it_refuses(name: str) -> None:
    assert judge(CROSS_SHARD[name]) != []


def test_a_proxy_must_see_the_users() -> None:
    sql = SINGLE_SHARD["a locked list"]
    assert judge(sql) == []
    [fault] = judge(sql, is_routed=True)
    assert "JSON_TABLE" in fault
    assert judge(SINGLE_SHARD["some users"], is_routed=True) == []


def test_parameters_become_values() -> None:
    tree = parse("SELECT '100%%' FROM user_progress WHERE user_id IN (%s, %s)", (1, 2))
    assert find_faults(tree, TABLES) == []
    with pytest.raises(Unreadable):
        parse("SELECT FROM WHERE user_progress (", None)


@pytest.mark.parametrize(
    ("sql", "shape"),
    [
        (
            "SELECT `outbox`.`id`, `outbox`.`event` FROM `outbox` WHERE `outbox`.`user_id` IN"
            " (:p0, :p1, :p2) AND `outbox`.`id` > -3 LIMIT 20",
            "SELECT … FROM outbox WHERE user_id IN (?) AND id > -? LIMIT ?",
        ),
        ("SELECT COUNT(*) AS `n` FROM outbox", "SELECT COUNT(*) AS n FROM outbox"),
        (
            "INSERT INTO outbox (user_id, event) VALUES (1, x'ff'), (2, '')",
            "INSERT INTO outbox (user_id, event) VALUES (?, ?)",
        ),
    ],
)
def test_a_shape_leaves_out_what_differs(sql: str, shape: str) -> None:
    assert normalise(parse(sql, None)) == shape
