"""What a replay from raw brings back, corrects, moves and leaves alone."""

import json
from dataclasses import replace as with_
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import TopicPartition

from lakehouse import replay as replay_module
from lakehouse.changes import Tables
from lakehouse.contracts import CONTRACTS, USER_EVENTS, Rejected
from lakehouse.errors import LakehouseError
from lakehouse.replay import replay
from lakehouse.slices import Asked, Offsets
from lakehouse.tables import DEAD_LETTERS, DUPLICATES, STG_USER_EVENTS, current_snapshot

TABLES = (STG_USER_EVENTS, DUPLICATES, DEAD_LETTERS)
STAGED = STG_USER_EVENTS.identifier
ALL = Asked()


def event(event_id: str, event_type: str = "view", **fields) -> str:
    return json.dumps(
        {
            "event_id": event_id,
            "product_id": "P1",
            "event_type": event_type,
            "event_timestamp": "2026-03-05T10:00:00Z",
            "event_data": {},
        }
        | fields
    )


@pytest.fixture(scope="module")
def lakehouse(shared_lakehouse):
    """Offsets 0 to 2 of partition 0 are staged, and 3 is dead."""
    # Its lock need not be taken over soon.
    patient = shared_lakehouse.settings.model_copy(update={"writer_lease_seconds": 60.0})
    made = with_(shared_lakehouse, settings=patient)
    made.produce(event("e0"), event("e1"), event("e2"), "e3 is no JSON", partition=0)
    made.produce('{"product_id":"P1","name":"Lantern"}', topic="product-metadata", key="P1")
    made.ingest()
    return made


def replayed(lakehouse, asked: Asked = ALL, dry_run: bool = False) -> dict[str, int]:
    """The counts that are not 0."""
    counts = vars(replay(lakehouse.spark, lakehouse.settings, "user-events", asked, dry_run))
    return {name: count for name, count in counts.items() if count and name != "topic"}


def rows(lakehouse) -> dict[str, list[str]]:
    tables = {table.name: lakehouse.spark.table(table.identifier) for table in TABLES}
    return {name: sorted(table.toJSON().collect()) for name, table in tables.items()}


def roll_back(lakehouse, table, snapshot: int) -> None:
    lakehouse.spark.sql(
        "CALL lake.system.rollback_to_snapshot(:table, :snapshot)",
        {"table": table.identifier, "snapshot": snapshot},
    )


def test_an_undamaged_lakehouse_is_left_at_its_snapshots(lakehouse):
    before = lakehouse.snapshots()
    assert replayed(lakehouse) == {"examined": 4, "unchanged": 4}
    assert lakehouse.snapshots() == before


def test_emptied_staging_comes_back_row_by_row(lakehouse, monkeypatch):
    monkeypatch.setattr(replay_module, "MESSAGES_PER_SLICE", 2)
    before = rows(lakehouse)
    lakehouse.spark.sql(f"DELETE FROM {STAGED}")
    emptied = lakehouse.snapshots()
    expected = {"examined": 4, "unchanged": 1, "staged": 3}
    assert replayed(lakehouse, dry_run=True) == expected
    assert lakehouse.snapshots() == emptied
    assert replayed(lakehouse) == expected
    assert rows(lakehouse) == before


def test_only_what_is_asked_for_is_repaired(lakehouse):
    before = rows(lakehouse)
    lakehouse.spark.sql(f"DELETE FROM {STAGED} WHERE event_id <> 'e1'")
    lakehouse.spark.sql(f"UPDATE {STAGED} SET product_id = 'P2', quantity = 1")
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    assert replayed(lakehouse, Asked(days=(yesterday, yesterday))) == {}
    some = Asked((yesterday, today), (Offsets(0, 1, 1), Offsets(0, 2, 2)))
    assert replayed(lakehouse, some) == {"examined": 2, "replaced": 1, "staged": 1}
    staged = lakehouse.spark.table(STAGED).orderBy("kafka_offset").select("event_id", "product_id")
    assert staged.collect() == [("e1", "P1"), ("e2", "P1")]
    assert replayed(lakehouse) == {"examined": 4, "unchanged": 3, "staged": 1}
    assert rows(lakehouse) == before
