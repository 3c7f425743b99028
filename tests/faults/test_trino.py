"""Marts beside a Trino that is killed while it writes them, and staging that is rolled back."""

import json
import subprocess
import time
from datetime import date, timedelta

import broker
import pytest
from expected_marts import MARTS, assert_as_generated
from shop import STG_USER_EVENTS

from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.ingest.run import ingest
from lakehouse.stack import processes
from lakehouse.stack.home import REPOSITORY
from lakehouse.stack.services import Trino

TRAFFIC = ("--events=2000", "--products=50", "--users=100", "--days=3", "--seed=3")
BUILD = ("dbt", "run")
WRITTEN = """
    SELECT count(*) FROM system.runtime.queries
    WHERE state = 'RUNNING'
        AND regexp_like(query, '(merge into|create or replace table) "lake"."marts"')
"""


@pytest.fixture(scope="module")
def ingested(settings, spark, command) -> None:
    command("python", "-m", "generator", *TRAFFIC, "--start=2026-03-01")
    ingest(spark, settings)


def test_marts_are_whole_after_the_build_that_follows_a_killed_trino(
    ingested, stack, command, query
):
    interrupted = subprocess.Popen(BUILD, cwd=REPOSITORY)
    try:
        wait_until_a_mart_is_written(query, interrupted)
        trino = processes.find(Trino(stack))
        trino.kill()
        trino.wait(10)
        processes.up(stack, print)
        interrupted.wait(300)
    finally:
        interrupted.kill()
        interrupted.wait()

    # It may have been unable to say that it is over.
    time.sleep(30)
    command(*BUILD)
    assert_as_generated(query, json.loads(command("python", "-m", "generator", "expect").stdout))


def wait_until_a_mart_is_written(query, build: subprocess.Popen) -> None:
    while not query(WRITTEN)[0][0]:
        assert build.poll() is None, "the build ended before it could be interrupted"
        time.sleep(0.02)


def test_marts_follow_staging_back_to_an_older_snapshot_and_forward_again(
    ingested, settings, spark, command, query
):
    command(*BUILD)
    before, snapshot = rows_of_marts(query), current_snapshot(spark, STG_USER_EVENTS)
    broker.produce(settings, broker.EVENT.format(id="rolled back"), key="u")
    ingest(spark, settings)
    command(*BUILD)
    after = rows_of_marts(query)
    spark.sql(
        "CALL lake.system.rollback_to_snapshot(:table, :snapshot)",
        {"table": STG_USER_EVENTS.identifier, "snapshot": snapshot},
    )

    assert "can't be compared with the last build's" in command(*BUILD).stdout
    assert rows_of_marts(query) == before
    ingest(spark, settings)
    command(*BUILD)
    assert rows_of_marts(query) == after != before


def rows_of_marts(query) -> dict[str, set[tuple]]:
    return {mart: set(map(tuple, query(f"SELECT * FROM marts.{mart}"))) for mart in MARTS}


def test_trino_reads_and_restates_hundreds_of_days_whose_events_share_a_file(
    ingested, settings, spark, command, query
):
    days = [date(2020, 1, 1) + timedelta(days=number) for number in range(300)]
    events = (broker.EVENT.format(id=f"of {day}").replace("2026-03-05", str(day)) for day in days)
    broker.produce(settings, *events, key="u")
    ingest(spark, settings)
    command(*BUILD)
    staged = "SELECT count(*) FROM staging.stg_user_events WHERE date(event_timestamp) {}"
    viewed = "SELECT count(*), sum(view_count) FROM marts.top_viewed_products WHERE event_date {}"
    earlier, on_a_day = "< DATE '2021-01-01'", "= DATE '2020-02-29'"
    assert query(staged.format(earlier)) == [[300]]
    assert query(staged.format(on_a_day)) == [[1]]
    assert query(viewed.format(earlier)) == [[300, 300]]
    assert query(viewed.format(on_a_day)) == [[1, 1]]
    shared = 'SELECT count(*) FROM staging."stg_user_events$files" WHERE record_count = 300'
    assert query(shared) == [[1]]
