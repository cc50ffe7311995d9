-- The tables of the sharded keyspace `users`: those of list_user_tables(), and the outbox.
-- As the migrations create them, but for two things: no PARTITION BY, because the shards cut by
-- user_id already, and no AUTO_INCREMENT, because site.outbox_seq counts for all shards.
CREATE TABLE notifications (
    user_id bigint NOT NULL,
    sequence bigint NOT NULL,
    achievement_id int NOT NULL,
    level smallint NOT NULL,
    created_at datetime(6) NOT NULL,
    read_at datetime(6) NULL,
    PRIMARY KEY (user_id, sequence)
);
CREATE TABLE outbox (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    event longblob NOT NULL,
    created_at datetime(6) NOT NULL,
    failed_at datetime(6) NULL,
    error varchar(500) NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE profiles (
    user_id bigint NOT NULL,
    display_name varchar(40) NOT NULL,
    is_private bool NOT NULL,
    created_at datetime(6) NOT NULL,
    PRIMARY KEY (user_id)
);
CREATE TABLE recent_submissions (
    user_id bigint NOT NULL,
    packed longblob NOT NULL,
    PRIMARY KEY (user_id)
);
CREATE TABLE test_results (
    user_id bigint NOT NULL,
    id bigint NOT NULL,
    wpm double NOT NULL,
    raw_wpm double NULL,
    accuracy double NOT NULL,
    consistency double NULL,
    duration_seconds double NOT NULL,
    characters int NULL,
    mode varchar(40) NOT NULL,
    length int NULL,
    language varchar(40) NOT NULL,
    completed_at datetime(6) NOT NULL,
    utc_offset_minutes smallint NOT NULL,
    invalidated_at datetime(6) NULL,
    PRIMARY KEY (user_id, id)
);
CREATE TABLE user_achievements (
    user_id bigint NOT NULL,
    achievement_id int NOT NULL,
    level smallint NOT NULL,
    unlocked_at datetime(6) NOT NULL,
    test_result_id bigint NULL,
    rulebook_version int NOT NULL,
    revoked_at datetime(6) NULL,
    revoked_reason varchar(120) NULL,
    PRIMARY KEY (user_id, achievement_id, level)
);
CREATE TABLE user_progress (
    user_id bigint NOT NULL,
    revision bigint NOT NULL,
    state longblob NOT NULL,
    PRIMARY KEY (user_id)
);
CREATE TABLE user_seen_tests (
    user_id bigint NOT NULL,
    is_invalidation bool NOT NULL,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    ids longblob NOT NULL,
    PRIMARY KEY (user_id, is_invalidation, first_id)
);
CREATE TABLE user_snapshots (
    user_id bigint NOT NULL,
    cut_at datetime(6) NOT NULL,
    dropped bigint NOT NULL,
    state longblob NOT NULL,
    PRIMARY KEY (user_id)
);
