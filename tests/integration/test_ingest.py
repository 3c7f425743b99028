"""What stays true when an ingest is interrupted, repeated or its tables are maintained."""

from datetime import timedelta
from functools import partial

import broker
import pytest
from broker import EVENT
from confluent_kafka import ConsumerGroupTopicPartitions
from shop import STG_USER_EVENTS

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.iceberg.commit import TableMovedError
from lakehouse.iceberg.file_tasks import write_rows
from lakehouse.iceberg.write_target import write_target
from lakehouse.ingest import topic_run
from lakehouse.ingest.run import ingest
from lakehouse.kafka.topics import read_topics
from lakehouse.maintenance.compact import compact
from lakehouse.maintenance.expire import RETAINED_SNAPSHOTS, expire
from lakehouse.tables.append import append
from lakehouse.tables.bookmarks import read_bookmark
from lakehouse.tables.definitions import DEAD_LETTERS

pytestmark = pytest.mark.usefixtures("topics")
produce = partial(broker.produce, key="u")


def places(query, prefix: str) -> tuple[int, int, int]:
    """Rows in raw, staging and the dead letters of the messages with an id of this prefix."""
    ((staged,),) = query(
        f"SELECT count(*) FROM staging.stg_user_events WHERE event_id LIKE '{prefix}%'"
    )
    ((dead,),) = query(
        f"SELECT count(*) FROM ops.dead_letters WHERE from_utf8(value) LIKE '%{prefix}-%'"
    )
    ((raw,),) = query(
        f"SELECT count(*) FROM raw.user_events WHERE from_utf8(value) LIKE '%{prefix}-%'"
    )
    return raw, staged, dead


def duplicates(query, prefix: str) -> list[list]:
    return query(
        "SELECT event_id, d.first_offset = s.kafka_offset AND d.first_partition = s.kafka_partition"
        " FROM ops.duplicates d JOIN staging.stg_user_events s USING (event_id)"
        f" WHERE event_id LIKE '{prefix}-%' ORDER BY 1"
    )


def test_a_run_begins_where_the_tables_end(spark, settings, query):
    produce(settings, EVENT.format(id="end-1"), "end-2 is no JSON")
    ingest(spark, settings)
    assert ingest(spark, settings)["user-events"].total.read == 0
    assert places(query, "end") == (2, 1, 1)


def test_an_event_that_comes_again_is_staged_once(spark, settings, query):
    once, other = EVENT.format(id="again-1"), EVENT.format(id="again-2")
    produce(settings, once, other, once)
    produce(settings, other.replace("view", "add_to_cart"))
    first = ingest(spark, settings)["user-events"].total
    assert (first.staged, first.duplicate, first.dead) == (2, 1, 1)
    produce(settings, once)
    second = ingest(spark, settings)["user-events"].total
    assert (second.staged, second.duplicate, second.dead) == (0, 1, 0)
    assert places(query, "again") == (5, 2, 1)
    assert duplicates(query, "again") == [["again-1", True], ["again-1", True]]
    assert query(
        "SELECT error_class, error_detail FROM ops.dead_letters"
        " WHERE from_utf8(value) LIKE '%again-2%'"
    ) == [["DUPLICATE_CONFLICT", "event_id: another event has this id, and other content"]]


def test_a_purchase_that_is_tried_again_past_midnight_counts_once(spark, settings, query):
    """With a fresh clock: the same id a second later, on the next day, in a later run."""
    event = EVENT.format(id="midnight-1").replace("view", "purchase")
    event = event.replace("{}", '{"price":5,"quantity":1}')
    produce(settings, event.replace("05T10:00:00Z", "05T23:59:59.5Z"))
    assert ingest(spark, settings)["user-events"].total.staged == 1
    produce(settings, event.replace("05T10:00:00Z", "06T00:00:00.5Z"))
    again = ingest(spark, settings)["user-events"].total
    assert (again.staged, again.duplicate, again.dead) == (0, 0, 1)
    assert places(query, "midnight") == (2, 1, 1)


def test_rows_that_a_rollback_took_come_again_once(spark, settings, query):
    """A copy that was staged earlier in another table's eyes stays a duplicate."""
    before = current_snapshot(spark, STG_USER_EVENTS)
    once = EVENT.format(id="back-1")
    produce(settings, once, EVENT.format(id="back-2"), once, "back-3 is no JSON")
    ingest(spark, settings)
    kept = places(query, "back"), duplicates(query, "back")
    assert kept == ((4, 2, 1), [["back-1", True]])

    spark.sql(
        "CALL lake.system.rollback_to_snapshot(:table, :before)",
        {"table": STG_USER_EVENTS.identifier, "before": before},
    )
    assert places(query, "back") == (4, 0, 1)
    again = ingest(spark, settings)["user-events"].total
    assert (again.staged, again.duplicate, again.dead) == (2, 0, 0)
    assert (places(query, "back"), duplicates(query, "back")) == kept


def test_a_writer_that_slept_through_a_takeover_commits_nothing(spark, settings, query):
    produce(settings, EVENT.format(id="slept-1"))
    ingest(spark, settings)
    table = spark.table(STG_USER_EVENTS.identifier)
    looked_at = current_snapshot(spark, STG_USER_EVENTS)
    produce(settings, EVENT.format(id="slept-2"))
    ingest(spark, settings)
    late = table.where("event_id = 'slept-1'")
    files = write_rows(late, write_target(spark, STG_USER_EVENTS))
    with pytest.raises(TableMovedError, match="stg_user_events has a newer snapshot"):
        append(spark, STG_USER_EVENTS, files, looked_at, {})
    assert places(query, "slept") == (2, 2, 0)
    assert spark.table(f"{STG_USER_EVENTS.identifier}.refs").count() == 1


def test_the_consumer_group_shows_how_far_the_tables_are(spark, settings, topics):
    produce(settings, EVENT.format(id="group-1"))
    ingest(spark, settings)
    group = ConsumerGroupTopicPartitions(settings.consumer_group)
    answer = topics.list_consumer_group_offsets([group])[settings.consumer_group].result()
    committed = {
        each.partition: each.offset
        for each in answer.topic_partitions
        if each.topic == "user-events"
    }
    (topic,) = read_topics(settings, ["user-events"])
    assert committed == topic.latest


def test_a_failure_between_two_tables_leaves_each_message_once(spark, settings, query, monkeypatch):
    produce(settings, EVENT.format(id="torn-1"), "torn-2 is no JSON")

    def append_but_letters(spark, table, *arguments):
        if table is DEAD_LETTERS:
            raise RuntimeError("the process ended here")
        return append(spark, table, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.ingest.writer.append", append_but_letters)
        with pytest.raises(LakehouseError, match="run the same command again"):
            ingest(spark, settings)
    assert places(query, "torn") == (2, 1, 0)

    ingest(spark, settings)
    assert places(query, "torn") == (2, 1, 1)


def test_small_batches_hold_the_same_rows(spark, settings, query, monkeypatch):
    monkeypatch.setattr(topic_run, "MESSAGES_PER_BATCH", 3)
    produce(settings, *(EVENT.format(id=f"small-{number}") for number in range(10)))
    report = ingest(spark, settings)["user-events"]
    assert len(report.batches) == 4
    assert places(query, "small") == (10, 10, 0)


def test_compaction_and_expiry_change_no_answer_and_lose_no_bookmark(spark, settings, query):
    for number in range(2):
        produce(settings, EVENT.format(id=f"kept-{number}"))
        ingest(spark, settings)
    compacted = {result.table: result for result in compact(spark)}
    assert compacted["staging.stg_user_events"].rewritten >= 2
    for _ in range(RETAINED_SNAPSHOTS):
        append(spark, STG_USER_EVENTS, [], current_snapshot(spark, STG_USER_EVENTS), {})
    expire(spark, older_than=timedelta(0))
    bookmark = read_bookmark(spark, STG_USER_EVENTS, "user-events")
    assert bookmark.origin
    assert ingest(spark, settings)["user-events"].total.read == 0
    assert places(query, "kept") == (2, 2, 0)


def test_a_broker_that_does_not_answer_is_named(settings):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(LakehouseError, match=r"No Kafka broker answers at 127.0.0.1:1"):
        read_topics(settings, ["user-events"])


def test_a_missing_topic_is_named(settings):
    with pytest.raises(LakehouseError, match="has no topic no-such-topic"):
        read_topics(settings, ["no-such-topic"])


def test_an_unknown_option_and_a_missing_environment_end_with_one_line(command, monkeypatch):
    unknown = command("spark-submit", "jobs/ingest.py", "--no-such-option", exit_code=2)
    assert "No such option: --no-such-option" in unknown.stdout
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    unset = command("spark-submit", "jobs/ingest.py", exit_code=1)
    assert "Not set in the environment: KAFKA_BOOTSTRAP_SERVERS. For the" in unset.stdout
