"""Loads that are not spread: one user, one id, one partition, and one that stays empty."""

import json

from broker import EVENT
from confluent_kafka import Producer

TOPIC = "user-events"
# As many as sixteen tasks take (intake.MESSAGES_PER_TASK), and more.
MILLION = 1_000_000
REPETITIONS = 300_000


def produce(lakehouse, numbered, partition: int) -> None:
    """Produce all ids to one partition; "u" is the user of each event."""
    producer = Producer(
        {
            "bootstrap.servers": lakehouse.settings.kafka_bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 50,
            "queue.buffering.max.messages": 2 * MILLION,
        }
    )
    for number in numbered:
        producer.produce(TOPIC, EVENT.format(id=number), "u", partition=partition)
    assert producer.flush(120) == 0


def ids(lakehouse, table: str) -> tuple[int, int, int]:
    """How many there are, how many different ones, and their sum."""
    return tuple(
        lakehouse.spark.table(f"lake.{table}")
        .selectExpr("count(*)", "count(DISTINCT event_id)", "sum(CAST(event_id AS BIGINT))")
        .first()
    )


def test_a_million_events_of_one_user_and_day_in_one_partition_are_read_by_16_tasks(lakehouse):
    produce(lakehouse, range(MILLION), partition=1)
    lakehouse.run("--master", "local[16]", "jobs/ingest.py")
    assert ids(lakehouse, "staging.stg_user_events") == (
        MILLION,
        MILLION,
        MILLION * (MILLION - 1) // 2,
    )
    files = lakehouse.spark.table("lake.staging.stg_user_events.files").collect()
    assert len(files) == 16
    assert lakehouse.audit().findings == []


def test_one_id_300_000_times_is_staged_once_and_later_not_again(lakehouse):
    produce(lakehouse, (7 for _ in range(REPETITIONS)), partition=1)
    lakehouse.produce(EVENT.format(id=8), key="u", partition=0)
    lakehouse.ingest()
    assert ids(lakehouse, "staging.stg_user_events") == (2, 2, 15)
    produce(lakehouse, (7 for _ in range(REPETITIONS)), partition=0)
    lakehouse.ingest()
    assert ids(lakehouse, "staging.stg_user_events") == (2, 2, 15)
    duplicates = "first_partition = 1 AND first_offset = 0 AND event_id = '7'"
    assert lakehouse.count("ops.duplicates", duplicates) == 2 * REPETITIONS - 1
    assert lakehouse.count("ops.duplicates") == 2 * REPETITIONS - 1
    assert lakehouse.audit().findings == []


def test_a_partition_that_is_empty_among_64_stalls_nothing_and_is_read_once_it_is_filled(lakehouse):
    lakehouse.create_topic(TOPIC, 64)
    for partition in range(64):
        if partition != 17:
            produce(lakehouse, range(10 * partition, 10 * partition + 10), partition)
    lakehouse.ingest()
    assert ids(lakehouse, "staging.stg_user_events")[0] == 630
    history = lakehouse.spark.table("lake.raw.user_events.snapshots").orderBy("committed_at")
    bookmark = json.loads(history.collect()[-1].summary[f"lakehouse.bookmark.{TOPIC}"])
    assert bookmark["next_offsets"] == {str(p): 10 for p in range(64) if p != 17}
    assert lakehouse.audit().findings == []

    produce(lakehouse, range(170, 180), 17)
    lakehouse.ingest()
    assert ids(lakehouse, "staging.stg_user_events") == (640, 640, 640 * 639 // 2)
    assert lakehouse.audit().findings == []
