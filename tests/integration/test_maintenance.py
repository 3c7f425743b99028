"""Snapshots and payloads are removed by an age that is certain, and never with a bookmark."""

from datetime import timedelta

import pytest
from bookmark_walk import MOST_SNAPSHOTS, Walk, local_session

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import iceberg_table
from lakehouse.maintenance import clock
from lakehouse.maintenance import expire as maintenance
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import TABLES


def versions(spark) -> list[str]:
    tables = [iceberg_table(spark, table) for table in TABLES]
    return [table.operations().current().metadataFileLocation() for table in tables]


@pytest.mark.parametrize(
    ("ahead", "is_refused"),
    [
        (timedelta(days=6), True),
        (timedelta(minutes=-6), True),
        (timedelta(minutes=4), False),
        (timedelta(minutes=-4), False),
    ],
)
def test_a_clock_that_is_apart_from_the_stores_deletes_nothing(
    spark, stack, monkeypatch, ahead, is_refused
):
    create_missing(spark)
    before = versions(spark)
    right = clock.now
    monkeypatch.setattr(clock, "now", lambda: right() + ahead)
    for job in (maintenance.expire, maintenance.clear_settled_letters):
        if is_refused:
            with pytest.raises(LakehouseError) as refused:
                job(spark, timedelta(days=5))
            pattern = r"This machine's clock says 20\S+ \S+ UTC and the store's 20\S+ \S+ UTC, more"
            refused.match(pattern)
            assert versions(spark) == before
        else:
            job(spark, timedelta(days=5))


def test_an_idle_topics_bookmark_outlasts_expiry_and_snapshots_stay_few(
    spark, tmp_path, monkeypatch
):
    """More of these, and some that search for files, are among the faults."""
    walk = Walk(local_session(spark, tmp_path), monkeypatch)
    for seed in range(6):
        walk.interleaving(seed)
    assert walk.most <= MOST_SNAPSHOTS
