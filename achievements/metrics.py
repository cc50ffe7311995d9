"""Every Prometheus instrument of the app, with its meaning (storage floor)."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter(
    "achievements_events",
    "Events that reached the engine, by what became of them: applied or duplicate.",
    ["outcome"],
)
UNLOCKS = Counter("achievements_unlocks", "Levels unlocked.")
REVOCATIONS = Counter("achievements_revocations", "Levels revoked after an invalidated test.")
REPLAYS = Counter(
    "achievements_replays", "Users whose history was replayed: new, late or invalidated tests."
)
UNREPLAYABLE = Counter(
    "achievements_unreplayable",
    "Invalidations of users whose history is not held here; their counts stay as they are.",
)
BATCH_SECONDS = Histogram(
    "achievements_batch_seconds",
    "Time from the start of a batch's transaction to its commit, retries included.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
RETRIES = Counter("achievements_transaction_retries", "Transactions run again after a deadlock.")
UNKNOWN_FIELDS = Counter("achievements_unknown_fields", "Unknown fields ignored in events.")
SET_ASIDE = Counter("achievements_outbox_set_aside", "Outbox rows that the engine cannot apply.")
WAKEUPS = Counter(
    "achievements_outbox_wakeups", "Tasks sent to drain the outbox, by outcome.", ["outcome"]
)
EFFECT_FAILURES = Counter(
    "achievements_effect_failures", "Effects after the commit that failed.", ["effect"]
)
DOCUMENTS = Counter(
    "achievements_documents",
    "Documents read, by kind and outcome: hit, miss, cache away, or refused (filled too slowly).",
    ["kind", "outcome"],
)
DATABASE_READS = Counter(
    "achievements_database_reads",
    "Display reads where there are replicas, by the database that answered.",
    ["database"],
)
REPLICA_IN_SERVICE = Gauge(
    "achievements_replica_in_service",
    "Whether this process reads from a replica (1), or has left it out (0).",
    ["database"],
)
REPLICA_BEHIND = Counter(
    "achievements_replica_behind",
    "Users whose row on a replica was older than on the primary; they were read elsewhere.",
    ["database"],
)
WATCHED_UPDATES = Counter(
    "achievements_watched_updates", "Progress documents renewed for users who are watched."
)
STREAMS = Gauge("achievements_streams", "Streams that are open in this process.")
STREAM_EVENTS = Counter(
    "achievements_stream_events",
    "Events given to open streams, by name: progress, unlock or resync.",
    ["name"],
)
STREAMS_DROPPED = Counter(
    "achievements_streams_dropped", "Streams ended because their client did not read."
)
RELAYED = Counter("achievements_relayed", "Outbox rows published and acknowledged.")
RELAY_FAILURES = Counter(
    "achievements_relay_failures", "Outbox rows that Kafka did not acknowledge; they stay pending."
)
CONSUMER_FAILURES = Counter(
    "achievements_consumer_failures", "Batches that the database refused; they are tried again."
)
REJECTED_COMMITS = Counter(
    "achievements_rejected_commits",
    "Offset commits refused in a rebalance; harmless.",
)
DEAD_LETTERS = Counter("achievements_dead_letters", "Messages set aside in the dead letter topic.")
LAG_EVENTS = Gauge(
    "achievements_lag_events", "Messages that wait in a partition of this process.", ["partition"]
)
LAG_SECONDS = Gauge(
    "achievements_lag_seconds",
    "Age of the newest applied message of a partition in which more wait.",
    ["partition"],
)
