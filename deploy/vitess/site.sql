-- What the unsharded keyspace `site` needs besides the tables of the migrations: the counter of
-- outbox ids for all shards. The comment makes it a sequence; next_id must lie above every id in use.
CREATE TABLE outbox_seq (
    id bigint NOT NULL,
    next_id bigint,
    cache bigint,
    PRIMARY KEY (id)
) COMMENT 'vitess_sequence';
INSERT INTO outbox_seq (id, next_id, cache) VALUES (0, 1, 1000);
