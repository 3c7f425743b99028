"""Topics that change under the tables: made anew, moved, widened, cut, compacted, transactional."""

import logging
import shutil
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from shop import RAW_USER_EVENTS, STG_USER_EVENTS, USER_EVENTS

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import current_snapshot, iceberg_table
from lakehouse.ingest import run, topic_run
from lakehouse.ingest.acceptance import Acceptance, NamedGap, NamedTopic
from lakehouse.ingest.task import BatchTasks
from lakehouse.kafka.offsets import NO_TOPIC_ID
from lakehouse.kafka.topics import read_topics
from lakehouse.stack import processes
from lakehouse.stack.services import Kafka
from lakehouse.tables.accepted import Gap
from lakehouse.tables.bookmarks import read_bookmark
from lakehouse.tables.definitions import TABLES, tables_of

EVENT = (
    '{{"event_id":"{}","user_id":"u","product_id":"P1","event_type":"view",'
    '"event_timestamp":"2026-03-05T10:00:00Z","event_data":{{}}}}'
)
LEDGER_LINE = '{"topic": "user-events", "partition": %d, "offset": %d}\n'


@pytest.fixture
def send(lakehouse):
    """Events with these ids, to one partition."""

    def to_kafka(*event_ids: str, partition: int = 0) -> None:
        events = map(EVENT.format, event_ids)
        lakehouse.produce(*events, key="u", partition=partition)

    return to_kafka


@pytest.fixture
def taken_in(lakehouse):
    """What an ingest read, staged and found to be duplicate, of user-events."""

    def ingested(**options: str) -> tuple[int, int, int]:
        total = lakehouse.ingest(**options)["user-events"].total
        return total.read, total.staged, total.duplicate

    return ingested


@pytest.fixture
def refusal(lakehouse):
    """Return the refusal of an ingest that leaves all tables as they are."""

    def text(**options: str) -> str:
        before = versions(lakehouse)
        with pytest.raises(LakehouseError) as refused:
            lakehouse.ingest(**options)
        assert versions(lakehouse) == before
        return str(refused.value)

    return text


def versions(lakehouse) -> list[str]:
    """The metadata files of all tables: any commit makes another."""
    tables = [iceberg_table(lakehouse.spark, table) for table in TABLES]
    return [table.operations().current().metadataFileLocation() for table in tables]


def topic_id(lakehouse) -> str:
    return read_topics(lakehouse.settings, ["user-events"])[0].origin.topic_id


def frontier(lakehouse, table=RAW_USER_EVENTS) -> dict[int, int]:
    return read_bookmark(lakehouse.spark, table, "user-events").frontier


def delete_before(lakehouse, offset: int) -> None:
    """What retention does to partition 0 of user-events."""
    partition = TopicPartition("user-events", 0, offset)
    lakehouse.admin.delete_records([partition])[partition].result(10)


def test_a_topic_made_anew_is_refused_until_somebody_accepts_it(
    lakehouse, send, taken_in, refusal, tmp_path
):
    send("a", "b", "c")
    assert taken_in() == (3, 3, 0)
    old = topic_id(lakehouse)
    lakehouse.create_topic("user-events")
    new = topic_id(lakehouse)
    expected = (
        f"The topic user-events was deleted and made anew: its id was {old} and is {new}; the "
        "tables have user-events/0 before offset 3. What the old one held beyond that is not in "
        "the tables. Nothing was changed. Go on from the beginning of the new one: spark-submit "
        f'jobs/ingest.py --accept-new-topic user-events:1:{new} --why "..."; each audit will show '
        "it"
    )
    # Fewer messages than the old one had, then more: neither counts nor offsets would tell.
    send("d")
    assert refusal() == expected
    send("a", "e", "f", "d")
    assert refusal(acceptance=Acceptance(topics=(NamedTopic("user-events", 1, old),))) == expected
    assert [finding.rule for finding in lakehouse.audit().findings] == ["another topic"]

    accepted_now = Acceptance(topics=(NamedTopic("user-events", 1, new),), why="the disk was full")
    assert taken_in(acceptance=accepted_now) == (5, 3, 2)
    send("g", partition=1)
    assert taken_in(acceptance=accepted_now) == (1, 1, 0)
    # Of the new topic, by Kafka's numbers; the last is yet to be sent.
    ledger = tmp_path / "ledger.jsonl"
    acknowledged = [(0, offset) for offset in range(5)] + [(1, 0), (1, 1)]
    ledger.write_text("".join(map(LEDGER_LINE.__mod__, acknowledged)))
    audited = lakehouse.audit(ledger=ledger)
    assert (audited.findings, audited.acknowledged, audited.not_yet_taken_in) == ([], 7, 1)
    (accepted,) = audited.accepted_topics["user-events"]
    assert (accepted.generation, accepted.topic_id) == (1, new)
    assert accepted.reason == "the disk was full"
    events = [each for each in audited.partitions if each.topic == "user-events"]
    assert [(p.partition, p.raw, p.staged, p.duplicate) for p in events[:3]] == [
        (0, 3, 3, 0),
        (1_000_000, 5, 3, 2),
        (1_000_001, 1, 1, 0),
    ]
    group = lakehouse.settings.consumer_group
    asked = ConsumerGroupTopicPartitions(group)
    committed = lakehouse.admin.list_consumer_group_offsets([asked])[group].result()
    assert {
        (p.partition, p.offset) for p in committed.topic_partitions if p.topic == "user-events"
    } == {(0, 5), (1, 1)}


def elsewhere(*of) -> list:
    return [
        replace(topic, origin=topic.origin._replace(cluster_id="other"))
        for topic in read_topics(*of)
    ]


def test_another_cluster_is_refused_with_both_ways_on(
    lakehouse, send, taken_in, refusal, monkeypatch
):
    send("a")
    taken_in()
    (topic,) = read_topics(lakehouse.settings, ["user-events"])

    monkeypatch.setattr(run, "read_topics", elsewhere)
    assert refusal() == (
        f"user-events was taken in from the Kafka cluster {topic.origin.cluster_id} and this is "
        "other; the tables have user-events/0 before offset 1. What the old one held beyond that "
        "is not in the tables. Nothing was changed. Correct KAFKA_BOOTSTRAP_SERVERS; or, if the "
        "topic has moved to this cluster, go on from the beginning of the new one: spark-submit "
        f"jobs/ingest.py --accept-new-topic user-events:1:{topic.origin.topic_id} --why "
        '"..."; each audit will show it'
    )


def test_a_topic_that_is_made_anew_while_it_is_read_is_refused_before_the_commit(
    lakehouse, send, refusal, monkeypatch
):
    lakehouse.ingest()
    send("a")
    monkeypatch.setattr(topic_run, "read_topics", elsewhere)
    assert refusal() == (
        "The topic product-metadata was deleted and made anew while it was read. What was read "
        "last was not committed. Run this again: it says how to go on"
    )


def test_a_partition_that_is_added_begins_at_its_first_message(lakehouse, send, taken_in):
    send("a")
    taken_in()
    wider = NewPartitions("user-events", 3)
    lakehouse.admin.create_partitions([wider])["user-events"].result(10)
    send("b", "c", partition=2)
    assert taken_in() == (2, 2, 0)
    assert lakehouse.count("raw.user_events", "partition = 2 AND offset < 2") == 2


def test_retention_is_a_gap_only_where_raw_has_not_come(lakehouse, send, taken_in, refusal):
    send("a", "b", "c")
    taken_in()
    behind = current_snapshot(lakehouse.spark, STG_USER_EVENTS)
    send("d")
    delete_before(lakehouse, 2)
    assert taken_in() == (1, 1, 0)

    delete_before(lakehouse, 4)
    ahead = current_snapshot(lakehouse.spark, STG_USER_EVENTS)
    set_staging(lakehouse, behind)
    assert refusal() == (
        "staging.stg_user_events lacks user-events/0 offsets 3 to 3; Kafka no longer holds them, "
        "and raw does. Nothing was changed. Fill it from raw, then run this again: spark-submit "
        "jobs/replay.py --topic user-events"
    )
    set_staging(lakehouse, ahead)

    send("lost", "lost too", "e")
    delete_before(lakehouse, 6)
    less, missing = NamedGap("user-events", 0, 4, 4), NamedGap("user-events", 0, 4, 5)
    expected = (
        "Kafka no longer holds messages that were not yet taken in: user-events/0:4-5. Nothing was "
        "changed. If they cannot be restored, go on without them: spark-submit jobs/ingest.py "
        '--accept-gap user-events/0:4-5 --why "..."; each audit will show them'
    )
    assert refusal() == expected
    assert refusal(acceptance=Acceptance(gaps=(less,), why="another day's")) == expected
    accepted = Acceptance(gaps=(missing,), why="a week without anybody")
    assert taken_in(acceptance=accepted) == (1, 1, 0)
    # As from a crontab, where the command has stayed.
    assert taken_in(acceptance=accepted) == (0, 0, 0)
    audited = lakehouse.audit()
    assert (audited.findings, audited.messages) == ([], 5)
    assert audited.gaps["user-events"] == [Gap(0, 4, 6, "a week without anybody")]


def set_staging(lakehouse, snapshot: int) -> None:
    lakehouse.spark.sql(
        "CALL lake.system.set_current_snapshot(:table, :snapshot)",
        {"table": STG_USER_EVENTS.identifier, "snapshot": snapshot},
    )


@pytest.fixture
def transaction(lakehouse):
    """A producer of user-events/0 whose messages count when it commits, and not if it aborts."""
    servers = lakehouse.settings.kafka_bootstrap_servers
    producer = Producer({"bootstrap.servers": servers, "transactional.id": "tests"})
    producer.init_transactions(10)

    @contextmanager
    def within(*event_ids: str, commit: bool):
        producer.begin_transaction()
        for event_id in event_ids:
            producer.produce("user-events", EVENT.format(event_id), "u", partition=0)
        producer.flush(10)
        yield
        producer.commit_transaction(10) if commit else producer.abort_transaction(10)

    return within


def test_an_aborted_transaction_is_no_message_no_gap_and_no_end(
    lakehouse, taken_in, transaction, monkeypatch
):
    """Offsets: 0 a, 1 b, 2 end of transaction, 3 to 5 aborted, 6 its end."""
    # So that batches end within a transaction, and one is of no message at all.
    monkeypatch.setattr(topic_run, "MESSAGES_PER_BATCH", 2)
    with transaction("a", "b", commit=True):
        assert taken_in() == (0, 0, 0)
    with transaction("x", "y", "z", commit=False):
        assert taken_in() == (2, 2, 0)
    assert taken_in() == (0, 0, 0)
    assert {frontier(lakehouse, table)[0] for table in tables_of(USER_EVENTS)} == {7}
    assert (lakehouse.audit().verdict) == "conserved: 2 messages, each exactly once"

    delete_before(lakehouse, 7)
    before = versions(lakehouse)
    assert taken_in() == (0, 0, 0)
    assert versions(lakehouse) == before


@pytest.fixture
def eager_cleaner(lakehouse):
    """Kafka looks for what to compact all the time, instead of every 15 s."""

    def set_backoff(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=operation)
        broker = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
        lakehouse.admin.incremental_alter_configs([broker])[broker].result(10)

    set_backoff(AlterConfigOpType.SET)
    yield
    set_backoff(AlterConfigOpType.DELETE)


def test_what_compaction_removes_is_neither_lost_nor_a_gap(lakehouse, eager_cleaner):
    """Compact: the newest message of a key stays, once its segment is no longer written to."""
    name = "product-metadata"
    lakehouse.create_topic(
        name,
        1,
        **{"cleanup.policy": "compact", "segment.ms": "1", "min.cleanable.dirty.ratio": "0"},
    )
    send = partial(lakehouse.produce, '{"product_id":"P1"}', key="P1", topic=name)
    send()
    send()
    assert lakehouse.ingest()["product-metadata"].total.staged == 2
    for _ in range(3):
        send()
    wait_until_offsets_are(lakehouse, name, [3, 4])
    assert lakehouse.ingest()["product-metadata"].total.staged == 2
    audited = lakehouse.audit()
    assert audited.verdict == "conserved: 4 messages, each exactly once"
    (counts,) = (p for p in audited.partitions if p.topic == name)
    assert (counts.delivered, counts.raw, counts.frontier) == (2, 4, 5)


def wait_until_offsets_are(lakehouse, topic: str, expected: list[int]) -> None:
    servers = lakehouse.settings.kafka_bootstrap_servers
    deadline = time.monotonic() + 20
    found = None
    while found != expected:
        assert time.monotonic() < deadline, f"Kafka still holds {found}"
        consumer = Consumer(
            {"bootstrap.servers": servers, "group.id": "tests", "enable.partition.eof": True}
        )
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = []
        while not (message := consumer.poll(10)).error():
            found.append(message.offset())
        consumer.close()


def test_messages_that_were_not_read_stop_the_run_before_a_commit(lakehouse, send, monkeypatch):
    send("e0", "e1", "e2")
    lakehouse.create_tables()
    run_tasks = BatchTasks.run

    def without_the_first(tasks, spark, ranges):
        summary, found = run_tasks(
            tasks, spark, [each._replace(start=each.start + 1) for each in ranges]
        )
        return summary, found

    before = versions(lakehouse)
    with monkeypatch.context() as patch:
        patch.setattr(BatchTasks, "run", without_the_first)
        patch.setattr(lakehouse.settings, "retry_seconds", 0)
        with pytest.raises(LakehouseError, match=r"delivers 3 messages of .*, and 2 were read"):
            lakehouse.ingest()
    assert versions(lakehouse) == before
    assert lakehouse.ingest()["user-events"].total.staged == 3
    assert lakehouse.audit().findings == []


def test_messages_that_were_not_written_stop_the_run_before_a_commit(lakehouse, send, monkeypatch):
    send("e0", "e1", "e2")
    lakehouse.create_tables()
    run_tasks = BatchTasks.run

    def without_a_file_of_raw(tasks, spark, ranges):
        summary, found = run_tasks(tasks, spark, ranges)
        found[0].files[RAW_USER_EVENTS.name].pop()
        return summary, found

    before = versions(lakehouse)
    with monkeypatch.context() as patch:
        patch.setattr(BatchTasks, "run", without_a_file_of_raw)
        with pytest.raises(LakehouseError, match=r"3 messages of user-events were read, .* 0 were"):
            lakehouse.ingest()
    assert versions(lakehouse) == before
    assert lakehouse.ingest()["user-events"].total.staged == 3


def test_an_open_transaction_that_holds_messages_back_is_named(lakehouse, send, transaction):
    began = datetime.now(UTC)
    with transaction("a", "b", commit=True):
        send("c", "d", "e")
        reports = lakehouse.ingest()
        report = reports["user-events"]
        assert (report.total.read, reports["product-metadata"].waiting) == (0, [])
        (waiting,) = report.waiting
        assert waiting[:3] == ("user-events", 0, 5)
        assert began - timedelta(seconds=1) < waiting.since < datetime.now(UTC)
        # The job says so too, and ends well.
        printed = lakehouse.run("jobs/ingest.py")
        assert f"{waiting}\n" in printed
        assert "user-events/0: 5 offsets wait behind a transaction that is open since 20" in printed
    report = lakehouse.ingest()["user-events"]
    assert (report.total.read, report.waiting) == (5, [])


@pytest.fixture
def kafka(services):
    """A broker that a test may end; the next test has it back."""
    yield Kafka(services)
    if not processes.find(Kafka(services)):
        processes.start(Kafka(services), print)


def test_a_log_that_was_replaced_by_an_older_copy_and_went_on_is_refused(
    lakehouse, send, taken_in, refusal, kafka, tmp_path
):
    send("a", "b")
    assert taken_in() == (2, 2, 0)
    processes.stop([kafka], print)
    shutil.copytree(kafka.data, tmp_path / "copy")
    processes.start(kafka, print)
    send("c", "d")
    assert taken_in() == (2, 2, 0)

    processes.stop([kafka], print)
    shutil.rmtree(kafka.data)
    shutil.copytree(tmp_path / "copy", kafka.data)
    processes.start(kafka, print)
    assert "user-events/0 ends at offset 2 in Kafka" in refusal()
    # Past the old end: neither offsets nor the topic's id tell.
    send("e", "f", "g")
    name = NamedTopic("user-events", 1, topic_id(lakehouse))
    assert refusal() == (
        "Kafka has another message than was taken in from there at user-events/0 offset 3, as "
        "after an unclean leader election or on a broker restored from an older copy; the tables "
        "have user-events/0 before offset 4. What the old one held beyond that is not in the "
        "tables. Nothing was changed. Restore the log that was there; or, if this one is to stay, "
        f"go on from the beginning of the new one: spark-submit jobs/ingest.py --accept-new-topic "
        f'{name} --why "..."; each audit will show it'
    )
    accepted = Acceptance(topics=(name,), why="the broker's disk was lost")
    # What both logs have is there already.
    assert taken_in(acceptance=accepted) == (5, 3, 2)
    send("h")
    assert taken_in() == (1, 1, 0)
    assert lakehouse.audit().findings == []


def test_a_message_that_is_another_is_told_where_a_topic_has_no_id(
    lakehouse, send, taken_in, refusal, monkeypatch
):
    """Some brokers say that each topic's id is zero."""

    def without_id(*of) -> list:
        return [
            replace(topic, origin=topic.origin._replace(topic_id=NO_TOPIC_ID))
            for topic in read_topics(*of)
        ]

    send("a")
    assert taken_in() == (1, 1, 0)
    for module in (run, topic_run):
        monkeypatch.setattr(module, "read_topics", without_id)
    send("b")
    assert taken_in() == (1, 1, 0)
    lakehouse.create_topic("user-events")
    send("c", "d", "e")
    assert "has another message than was taken in from there at user-events/0 offset 1" in refusal()


def test_a_last_message_that_kafka_no_longer_holds_is_a_warning(
    lakehouse, send, taken_in, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("lakehouse"), "propagate", True)
    send("a", "b")
    taken_in()
    assert not caplog.messages
    delete_before(lakehouse, 2)
    send("c")
    assert taken_in() == (1, 1, 0)
    assert [message for message in caplog.messages if "can't be known" in message] == [
        "Kafka no longer holds the last message that was taken in; whether what follows it is of "
        "the same log can't be known"
    ]


def test_a_bookmark_of_before_last_messages_were_noted_goes_on(
    lakehouse, send, taken_in, monkeypatch
):
    send("a")
    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.ingest.writer.newest", lambda _: {})
        assert taken_in() == (1, 1, 0)
    assert not read_bookmark(lakehouse.spark, RAW_USER_EVENTS, "user-events").last_messages
    send("b")
    assert taken_in() == (1, 1, 0)
    assert (
        read_bookmark(lakehouse.spark, RAW_USER_EVENTS, "user-events").last_messages[0].offset == 1
    )
