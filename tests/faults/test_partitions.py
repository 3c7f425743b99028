"""A topic of 1,000 partitions through a crash, ingest, audit and replay."""

import json

import pytest
from broker import EVENT
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from kills import Ingest

from lakehouse.audit.run import audit
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.kafka.topics import read_topics
from lakehouse.replay.run import replay
from lakehouse.replay.slices import Asked

PARTITIONS = 1000
TOPIC = "user-events"


@pytest.fixture
def wide(lakehouse):
    lakehouse.create_topic(TOPIC, PARTITIONS)
    lakehouse.create_tables()
    return lakehouse


def produce(lakehouse, name: str) -> None:
    """To each partition two good events; to each tenth a bad message and a redelivery as well."""
    producer = Producer({"bootstrap.servers": lakehouse.settings.kafka_bootstrap_servers})
    for partition in range(PARTITIONS):
        values = [EVENT.format(id=f"{name}-{partition}-{number}") for number in range(2)]
        if partition % 10 == 0:
            values += ["no JSON", EVENT.format(id=f"{name}-{(partition + 1) % PARTITIONS}-0")]
        for value in values:
            producer.produce(TOPIC, value, "u", partition=partition)
    assert producer.flush(60) == 0


def held(lakehouse) -> tuple[int, int, int, int]:
    return (
        lakehouse.count("raw.user_events"),
        lakehouse.count("staging.stg_user_events"),
        lakehouse.count("ops.dead_letters"),
        lakehouse.count("ops.duplicates"),
    )


def test_1_000_partitions_go_through_crash_ingest_audit_and_replay(wide):
    produce(wide, "before")
    run = Ingest(wide)
    assert run.reach(lambda run: run.commits("raw.user_events") >= 1), run.job.printed
    run.kill()
    # As a rule offsets of the first are in raw alone now, and these are in no table.
    produce(wide, "after")
    wide.ingest_when_free()
    assert held(wide) == (4400, 4000, 200, 200)
    full = wide.audit()
    assert full.findings == []
    assert {p.partition: p.raw for p in full.partitions if p.topic == TOPIC} == {
        partition: 8 if partition % 10 == 0 else 4 for partition in range(PARTITIONS)
    }

    produce(wide, "later")
    wide.ingest()
    later = audit(wide.spark, wide.settings)
    assert (later.findings, later.messages) == ([], 2200)
    assert held(wide) == (6600, 6000, 300, 300)

    everything = Asked(offsets=tuple(OffsetRange(p, 0, 101) for p in range(PARTITIONS)))
    same = replay(wide.spark, wide.settings, TOPIC, everything)
    assert (same.examined, same.unchanged) == (6600, 6600)
    wide.spark.sql("DELETE FROM lake.staging.stg_user_events")
    brought = replay(wide.spark, wide.settings, TOPIC, everything)
    assert (brought.examined, brought.staged) == (6600, 6000)
    assert held(wide) == (6600, 6000, 300, 300)
    assert audit(wide.spark, wide.settings).findings == []


def test_the_bookmark_and_the_consumer_group_name_each_of_1_000_partitions(wide):
    produce(wide, "once")
    wide.ingest()
    (topic,) = read_topics(wide.settings, [TOPIC])
    ends = {p: 4 if p % 10 == 0 else 2 for p in range(PARTITIONS)}
    assert topic.latest == ends
    history = wide.spark.table("lake.raw.user_events.snapshots").orderBy("committed_at").collect()
    bookmark = json.loads(history[-1].summary[f"lakehouse.bookmark.{TOPIC}"])
    assert bookmark["next_offsets"] == {str(p): end for p, end in ends.items()}
    group = ConsumerGroupTopicPartitions(wide.settings.consumer_group)
    committed = wide.admin.list_consumer_group_offsets([group])
    (offsets,) = (each.result().topic_partitions for each in committed.values())
    assert {each.partition: each.offset for each in offsets if each.topic == TOPIC} == ends
