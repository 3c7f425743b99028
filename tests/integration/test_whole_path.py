"""Generator -> Kafka -> spark-submit jobs/ingest.py -> dbt build -> marts, as in the README."""

import gzip
import json
import re
from datetime import date
from pathlib import Path

import pytest
from expected_marts import assert_as_generated

from lakehouse.stack.home import REPOSITORY

EVENTS = 4000
NO_TURN = '--vars={"days_to_test_again": 0}'
OPTIONS = (f"--events={EVENTS}", "--products=200", "--users=300", "--days=3", "--bad-rate=0.02")


@pytest.fixture(scope="module")
def ingested(command) -> str:
    command("python", "-m", "generator", *OPTIONS, "--seed=11", "--start=2026-03-01")
    return command("spark-submit", "jobs/ingest.py").stdout


@pytest.fixture(scope="module")
def expected(ingested, command) -> dict:
    return json.loads(command("python", "-m", "generator", "expect").stdout)


def test_each_message_is_one_row_and_a_second_run_reads_nothing(ingested, expected, query, command):
    places = """
        SELECT kafka_partition, kafka_offset FROM staging.stg_user_events
        UNION ALL
        SELECT "partition", "offset" FROM ops.dead_letters
        WHERE topic = 'user-events' AND coalesce(outcome, '') NOT IN ('replayed', 'duplicate')
        UNION ALL
        SELECT "partition", "offset" FROM ops.duplicates
    """
    offsets = query(places)
    assert re.search(rf"user-events +{EVENTS:,} ", ingested)
    assert len(offsets) == expected["produced"]["user-events"] >= EVENTS
    assert len({tuple(offset) for offset in offsets}) == len(offsets)

    again = command("spark-submit", "jobs/ingest.py").stdout
    assert re.search(r"user-events +0 +0 +0 +0 +0 *\n", again)
    assert len(query(places)) == len(offsets)


def test_what_the_generator_calls_invalid_is_dead_and_has_a_reason(expected, query):
    dead = query(
        "SELECT error_class, error_detail FROM ops.dead_letters WHERE topic = 'user-events'"
        # Those with one attempt are valid by themselves; a replay's were invalid before.
        " AND (error_class <> 'DUPLICATE_CONFLICT' OR attempt > 1)"
    )
    assert len(dead) == expected["invalid"]["user-events"] > 0
    assert all(error_class and detail for error_class, detail in dead)


def test_the_marts_equal_the_independent_computation(expected, command, query):
    assert "ERROR=0" in command("dbt", "build").stdout
    assert_as_generated(query, expected)


def test_a_build_with_nothing_new_asks_trino_little(command, query):
    """Unit tests, whose rows never change, are not among its statements, and no view is made."""
    command("dbt", "build")
    ((statements,),) = query("""
        SELECT count(*) FROM system.runtime.queries WHERE query LIKE '/* {"app": "dbt"%'
        GROUP BY regexp_extract(query, '"invocation_id": "([^"]+)"', 1)
        ORDER BY max(created) DESC LIMIT 1
    """)
    assert statements < 60


def test_freshness_tells_messages_that_came_from_marts_that_are_months_old(command):
    """The latest event is of March 2026: nobody has built the marts with a newer one since."""
    printed = command("dbt", "--no-use-colors", "source", "freshness", exit_code=1).stdout
    assert "PASS freshness of staging.stg_user_events" in printed
    assert "ERROR STALE freshness of ops_dbt.mart_builds" in printed


def test_raw_holds_every_message_once_in_its_folder(ingested, expected, query):
    for topic, table in (("user-events", "user_events"), ("product-metadata", "product_metadata")):
        ((messages, offsets),) = query(
            f'SELECT count(*), count(DISTINCT (partition, "offset")) FROM raw.{table}'
        )
        assert messages == offsets == expected["produced"][topic]
        ((ddl,),) = query(f"SHOW CREATE TABLE raw.{table}")
        assert f"location = 's3://retail-data/raw-data/{topic}'" in ddl
        assert "ARRAY['day(kafka_timestamp)']" in ddl


@pytest.mark.parametrize(
    ("table", "columns", "partitioning"),
    [
        (
            "stg_user_events",
            "event_id varchar, user_id varchar, product_id varchar, event_type varchar, "
            "event_timestamp timestamp(6) with time zone, event_data varchar, "
            "price decimal(18, 6), quantity integer, order_id varchar, session_id varchar, "
            "device varchar, referrer varchar, extra varchar, kafka_partition integer, "
            "kafka_offset bigint, kafka_timestamp timestamp(6) with time zone",
            "ARRAY['day(event_timestamp)','bucket(user_id, 4)']",
        ),
        (
            "stg_product_metadata",
            "product_id varchar, name varchar, category varchar, brand varchar, "
            "price decimal(18, 6), updated_at timestamp(6) with time zone, is_deleted boolean, "
            "extra varchar, kafka_partition integer, kafka_offset bigint, "
            "kafka_timestamp timestamp(6) with time zone",
            "ARRAY['bucket(product_id, 4)']",
        ),
    ],
)
def test_staging_is_laid_out_as_specified(ingested, query, table, columns, partitioning):
    ((ddl,),) = query(f"SHOW CREATE TABLE staging.{table}")
    ddl = re.sub(r"\s+", " ", ddl)
    assert f"( {columns} )" in ddl
    assert f"partitioning = {partitioning}" in ddl
    assert f"location = 's3://retail-data/warehouse/staging/{table}'" in ddl
    codecs = query(
        f"""SELECT value FROM staging."{table}$properties"
        WHERE key = 'write.parquet.compression-codec'"""
    )
    assert codecs == [["zstd"]]


def test_a_users_own_file_arrives_with_its_bytes(ingested, command, query, tmp_path: Path):
    line = (
        b'{"event_id": "own-1",  "user_id":"me", "product_id":"P1", "event_type":"view", '
        b'"event_timestamp":"2026-03-02T00:00:00Z", "event_data":{"note" : "caf\xc3\xa9"}}'
    )
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(line + b"\n"))
    command("python", "-m", "generator", "load", str(file), "--topic", "user-events")
    ingest = command("spark-submit", "jobs/ingest.py").stdout
    assert re.search(r"user-events +1 +1 +0 +0 +0 *\n", ingest)
    rows = query("SELECT user_id, event_data FROM staging.stg_user_events WHERE event_id = 'own-1'")
    assert rows == [["me", '{"note" : "café"}']]


def test_tests_look_at_days_that_were_built_since_all_passed(command, query):
    """At the one of the user's own view, which a run without tests has brought into the marts."""
    command("dbt", "run", "--select=daily_product_activity")
    command("dbt", "build", "--select=+activity_is_what_the_events_say", NO_TURN)
    compiled_to = REPOSITORY / "dbt/target/compiled"
    (compiled,) = compiled_to.glob("**/activity_is_what_the_events_say.sql")
    assert set(re.findall(r"date '(.+?)'", compiled.read_text())) == {"2026-03-02"}


def test_an_id_on_two_days_fails_the_build_of_either(command, query):
    query(
        """INSERT INTO staging.stg_user_events (event_id, product_id, event_type, event_timestamp)
        VALUES ('own-1', 'P1', 'view', TIMESTAMP '2026-03-05 12:00:00 UTC')"""
    )
    test = "unique_across_days_user_events_event_id"
    build = ("dbt", "build", "--store-failures", f"--select=sales {test}")
    assert f"FAIL 1 {test}" in command(*build, exit_code=1).stdout
    rows = query(f"SELECT event_id, event_count, first_date, last_date FROM ops.{test}")
    assert rows == [["own-1", 2, date(2026, 3, 2), date(2026, 3, 5)]]


def test_a_view_that_can_not_be_read_fails_the_build(command, query):
    """Two sums of its month are more than a decimal holds."""
    query(
        """INSERT INTO marts.sales (event_date, event_id, is_return, amount)
        SELECT day, 'overflow', false, CAST('99999999999999999999999999999999' AS decimal(38, 6))
        FROM (VALUES DATE '2026-03-02', DATE '2026-03-30') AS days (day)"""
    )
    test = ("dbt", "build", "--select=category_revenue_by_month")
    assert "ERROR is_readable_category_revenue_by_month" in command(*test, exit_code=1).stdout
    query("DELETE FROM marts.sales WHERE event_id = 'overflow'")
