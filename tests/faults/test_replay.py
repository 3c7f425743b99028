"""What a replay from raw brings back, corrects, moves and leaves alone."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from altered import altered
from confluent_kafka import TopicPartition
from shop import PRODUCT_METADATA, STG_USER_EVENTS, USER_EVENTS

from lakehouse.contracts import CONTRACTS, Rejected
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.replay import run as replay_module
from lakehouse.replay.changes import TableVersions
from lakehouse.replay.run import replay
from lakehouse.replay.slices import Asked
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES

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
    made = shared_lakehouse
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
    some = Asked((yesterday, today), (OffsetRange(0, 1, 2), OffsetRange(0, 2, 3)))
    assert replayed(lakehouse, some) == {"examined": 2, "replaced": 1, "staged": 1}
    staged = lakehouse.spark.table(STAGED).orderBy("kafka_offset").select("event_id", "product_id")
    assert staged.collect() == [("e1", "P1"), ("e2", "P1")]
    assert replayed(lakehouse) == {"examined": 4, "unchanged": 3, "staged": 1}
    assert rows(lakehouse) == before


class EndedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def contract(monkeypatch):
    """Make a replay go by a contract that parses otherwise."""

    def use(parse) -> None:
        changed = altered(USER_EVENTS, {"parse": parse, "accept": None}, version=2)
        monkeypatch.setattr(replay_module, "CONTRACTS", (changed, PRODUCT_METADATA))

    return use


def with_wishlists():
    # A function of a module is sent to workers by its name, and they know no module of tests.
    return lambda value, key, at: USER_EVENTS.parse(
        value.replace(b'"wishlist"', b'"add_to_cart"'), key, at
    )


def letter_of(lakehouse, event_id: str) -> tuple:
    letters = lakehouse.spark.table(DEAD_LETTERS.identifier)
    (letter,) = letters.where(f"CAST(value AS STRING) LIKE '%\"{event_id}\"%'").collect()
    return letter.error_class, letter.outcome, letter.attempt, letter.contract_version


def test_a_wider_contract_stages_its_letters_and_a_narrower_one_takes_rows_back(
    lakehouse, contract, monkeypatch
):
    lakehouse.produce(event("w4", "wishlist"), partition=0)
    lakehouse.ingest()
    fifth = Asked(offsets=(OffsetRange(0, 4, 10),))
    with monkeypatch.context():
        contract(with_wishlists())
        assert replayed(lakehouse, fifth) == {"examined": 1, "staged": 1, "passed": 1}
    assert lakehouse.count("staging.stg_user_events", "event_id = 'w4'") == 1
    assert letter_of(lakehouse, "w4") == ("UNKNOWN_EVENT_TYPE", "replayed", 2, 2)

    monkeypatch.setattr(replay_module, "CONTRACTS", CONTRACTS)
    apply, applied = TableVersions.apply, []

    def apply_one(tables, change):
        if applied:
            raise EndedError
        applied.append(change.table)
        apply(tables, change)

    with monkeypatch.context() as patch:
        patch.setattr(TableVersions, "apply", apply_one)
        with pytest.raises(EndedError):
            replayed(lakehouse, fifth)
    assert applied == [DEAD_LETTERS]
    (torn,) = lakehouse.audit().findings
    assert torn.rule == "in two places"
    assert "spark-submit jobs/replay.py --topic user-events" in torn.fix

    assert replayed(lakehouse, fifth) == {"examined": 1, "removed": 1}
    assert lakehouse.count("staging.stg_user_events", "event_id = 'w4'") == 0
    assert letter_of(lakehouse, "w4") == ("UNKNOWN_EVENT_TYPE", None, 3, 1)
    assert not lakehouse.audit().findings


def test_repeated_events_keep_their_places_when_tables_are_rolled_back(lakehouse):
    """Each of the three tables in its turn; what comes back differs in nothing."""
    before = {table: current_snapshot(lakehouse.spark, table) for table in TABLES}
    # 5 to 8: a copy of e0, another e1, a new event and its copy.
    copies = (event("e0"), event("e1", product_id="P9"), event("r7"), event("r7"))
    lakehouse.produce(*copies, partition=0)
    lakehouse.ingest()
    kept = rows(lakehouse)
    assert [len(each) for each in kept.values()] == [4, 2, 3]
    counts = {
        STG_USER_EVENTS: {"staged": 1},
        DUPLICATES: {"duplicate": 2},
        DEAD_LETTERS: {"newly_dead": 1},
    }
    for table, changed in counts.items():
        roll_back(lakehouse, table, before[table])
        assert replayed(lakehouse) == {
            "examined": 9,
            "unchanged": 9 - sum(changed.values()),
            **changed,
        }
        assert rows(lakehouse) == kept
    assert not lakehouse.audit().findings


def test_a_copy_takes_the_place_of_a_first_that_no_longer_passes(lakehouse, contract):
    """And another that conflicted with it passes if it is alone now."""
    last = lakehouse.spark.table(STAGED).where("event_id = 'e2'").head().kafka_timestamp

    def later(value, key, at):
        is_first = b'"e0"' in value or b'"e1"' in value
        if is_first and at.timestamp() <= last.timestamp():
            raise Rejected("OUT_OF_RANGE", "Kafka's time: too early")
        return USER_EVENTS.parse(value, key, at)

    contract(later)
    # e0 is staged by its copy, e1 by the other e1.
    assert replayed(lakehouse) == {
        "examined": 9,
        "unchanged": 5,
        "removed": 2,
        "newly_dead": 2,
        "staged": 2,
        "passed": 1,
    }
    assert [tuple(row) for row in staged(lakehouse)] == [
        ("e2", 2, "P1"),
        ("e0", 5, "P1"),
        ("e1", 6, "P9"),
        ("r7", 7, "P1"),
    ]
    assert [row.offset for row in duplicates(lakehouse)] == [8]
    assert not lakehouse.audit().findings


def staged(lakehouse) -> list:
    rows = lakehouse.spark.table(STAGED).orderBy("kafka_offset")
    return rows.select("event_id", "kafka_offset", "product_id").collect()


def duplicates(lakehouse) -> list:
    return lakehouse.spark.table(DUPLICATES.identifier).orderBy("offset").collect()


def test_the_tables_go_on_where_kafka_no_longer_has_what_staging_lost(lakehouse):
    before = current_snapshot(lakehouse.spark, STG_USER_EVENTS)
    lakehouse.produce(event("k9"), event("k10"), partition=0)
    lakehouse.ingest()
    roll_back(lakehouse, STG_USER_EVENTS, before)
    everything = TopicPartition("user-events", 0, -1)
    lakehouse.admin.delete_records([everything])[everything].result(10)
    with pytest.raises(LakehouseError):
        lakehouse.ingest()
    ninth = Asked(offsets=(OffsetRange(0, 9, 10),))
    assert replayed(lakehouse, ninth) == {"examined": 1, "staged": 1}
    with pytest.raises(LakehouseError):
        lakehouse.ingest()

    tenth = Asked(offsets=(OffsetRange(0, 9, 11),))
    assert replayed(lakehouse, tenth) == {"examined": 2, "unchanged": 1, "staged": 1}
    lakehouse.produce(event("k11"), partition=0)
    assert lakehouse.ingest()["user-events"].total.staged == 1
    assert not lakehouse.audit().findings


def test_the_job_says_what_it_did(lakehouse):
    lakehouse.spark.sql("DELETE FROM lake.staging.stg_product_metadata")
    printed = lakehouse.run("jobs/replay.py", "--topic", "product-metadata")
    assert re.search(r"topic +examined +unchanged +staged +replaced +removed", printed)
    assert re.search(r"product-metadata +1 +0 +1 +0 +0", printed)
    assert "slice replayed" in printed
    assert not lakehouse.audit().findings
