"""Which staged events an ingest compares a batch with: those of the days around, of live rows."""

from functools import partial

import broker
import pytest
from broker import EVENT
from shop import STG_USER_EVENTS

from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.ingest.run import ingest
from lakehouse.maintenance.compact import compact

pytestmark = pytest.mark.usefixtures("topics")
produce = partial(broker.produce, key="u")


def on(day: int, id_: str) -> str:
    return EVENT.format(id=id_).replace("03-05T", f"04-{day:02}T")


def outcome(spark, settings) -> tuple[int, int, int]:
    total = ingest(spark, settings)["user-events"].total
    return total.staged, total.duplicate, total.dead


def test_an_id_is_found_on_seven_days_around_whatever_files_it_is_in(spark, settings):
    produce(settings, on(10, "near-1"), on(10, "near-2"), on(10, "far-1"), on(10, "far-2"))
    assert outcome(spark, settings) == (4, 0, 0)
    produce(settings, on(17, "near-1"))
    assert outcome(spark, settings) == (0, 0, 1)
    compact(spark)
    produce(settings, on(3, "near-2"))
    assert outcome(spark, settings) == (0, 0, 1)
    produce(settings, on(18, "far-1"))
    produce(settings, on(2, "far-2"))
    # Eight days away from the first, and sixteen from each other.
    assert outcome(spark, settings) == (2, 0, 0)


def test_a_row_that_trino_deleted_is_no_first_of_its_id(spark, settings, query):
    produce(settings, on(20, "deleted-1"), on(20, "deleted-2"))
    assert outcome(spark, settings) == (2, 0, 0)
    before = current_snapshot(spark, STG_USER_EVENTS)
    query("DELETE FROM staging.stg_user_events WHERE event_id = 'deleted-1'")
    assert current_snapshot(spark, STG_USER_EVENTS) != before
    produce(settings, on(20, "deleted-1"), on(20, "deleted-2"))
    assert outcome(spark, settings) == (1, 1, 0)
    compact(spark)
    files = spark.table(f"{STG_USER_EVENTS.identifier}.files")
    assert files.where("content <> 0").where("lower_bounds IS NOT NULL").count() == 0
    produce(settings, on(20, "deleted-1"))
    assert outcome(spark, settings) == (0, 1, 0)


def test_a_row_of_others_without_an_id_stops_nothing(spark, settings, query):
    query(
        "INSERT INTO staging.stg_user_events (product_id, event_timestamp)"
        " VALUES ('P1', TIMESTAMP '2026-04-25 10:00:00 UTC')"
    )
    produce(settings, on(25, "beside-1"), on(25, "beside-1"))
    assert outcome(spark, settings) == (1, 1, 0)
    query("DELETE FROM staging.stg_user_events WHERE event_id IS NULL")
