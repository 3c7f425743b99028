"""Loads of unusual shape: large messages, and messages of thousands of days."""

from datetime import UTC, datetime, timedelta

from broker import EVENT
from confluent_kafka import Producer
from pyarrow.fs import FileSelector
from shop import RAW_USER_EVENTS, STG_USER_EVENTS

from lakehouse.tables.definitions import DEAD_LETTERS

NOW = datetime.now(UTC)


def listed(lakehouse, table) -> set[str]:
    rows = lakehouse.spark.table(f"{table.identifier}.files").select("file_path").collect()
    return {row.file_path.removeprefix("s3://") for row in rows}


def stored(lakehouse, folder: str) -> set[str]:
    found = lakehouse.store.get_file_info(FileSelector(folder, recursive=True))
    return {file.path for file in found if file.path.endswith(".parquet")}


def test_more_bytes_than_a_batch_may_have_are_committed_in_several(lakehouse, monkeypatch):
    """Two tasks begin with 30 messages each, and end after 16: what the second read is too far."""
    monkeypatch.setattr("lakehouse.ingest.task.MESSAGES_PER_TASK", 30)
    monkeypatch.setattr("lakehouse.ingest.task.BYTES_PER_BATCH", 16_000)
    lakehouse.create_topics(1)
    filling = '"note":"' + 1000 * "x" + '",'
    values = [EVENT.format(id=number).replace("{", "{" + filling, 1) for number in range(60)]
    lakehouse.produce(*values, "no JSON", key="u")
    report = lakehouse.ingest()["user-events"]
    assert (report.total.read, report.total.staged, report.total.dead) == (61, 60, 1)
    assert report.batches[0].read == 16
    assert all(batch.read <= 16 for batch in report.batches)
    assert lakehouse.audit().findings == []
    bucket = lakehouse.home.bucket
    assert listed(lakehouse, STG_USER_EVENTS) == stored(
        lakehouse, f"{bucket}/warehouse/staging/stg_user_events/data"
    )


def test_backdated_messages_of_many_days_share_a_file_and_keep_their_answers(lakehouse):
    """Each of 1,000 days has an event and a message that is refused; one has 300 of both."""
    producer = Producer({"bootstrap.servers": lakehouse.settings.kafka_bootstrap_servers})
    days = [NOW - timedelta(days=number) for number in range(1000)]
    for number, day in enumerate([*days, *(299 * [days[7]])]):
        event = EVENT.format(id=number).replace("2026-03-05T10:00:00Z", day.isoformat())
        at = int(day.timestamp() * 1000)
        producer.produce("user-events", event, key="u", timestamp=at)
        producer.produce("user-events", "no JSON", timestamp=at)
        producer.poll(0)
    assert producer.flush(30) == 0
    total = lakehouse.ingest()["user-events"].total
    assert (total.staged, total.dead) == (1299, 1299)
    for table, at, each in (
        (STG_USER_EVENTS, "event_timestamp", 1),
        (RAW_USER_EVENTS, "kafka_timestamp", 2),
        (DEAD_LETTERS, "kafka_timestamp", 1),
    ):
        files = lakehouse.spark.table(f"{table.identifier}.files").collect()
        assert sorted(file.record_count for file in files) == [300 * each, 999 * each]
        for day, rows in ((days[7], 300), (days[400], 1)):
            is_then = f"to_date({at}) = '{day:%Y-%m-%d}'"
            assert lakehouse.count(table.name, is_then) == rows * each
    assert lakehouse.audit().findings == []
