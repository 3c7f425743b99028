"""People with SQL beside the pipeline: what they change between two runs is taken as it is meant.

Either the next run goes on, and a full audit holds, or it refuses in one line, changes nothing, and
goes on once the SQL that it names was run.
"""

import re

import pytest
from broker import EVENT, produce
from shop import STG_USER_EVENTS

from lakehouse.audit.run import audit
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import iceberg_table
from lakehouse.ingest.run import ingest
from lakehouse.replay.run import replay
from lakehouse.replay.slices import Asked
from lakehouse.tables.definitions import TABLES

pytestmark = pytest.mark.usefixtures("topics")
PRICED = EVENT.replace("view", "purchase").replace("{{}}", '{{"price":10.5,"quantity":2}}')
STAGING, RAW, LETTERS = "staging.stg_user_events", "raw.user_events", "ops.dead_letters"


REFUSED = [
    pytest.param(
        [f"ALTER TABLE {STAGING} RENAME COLUMN price TO cost"],
        f"{STAGING} was altered beside the pipeline: its column price was renamed to cost",
        id="rename a column",
    ),
    pytest.param(
        [
            f"ALTER TABLE {LETTERS} RENAME COLUMN reason TO why",
            f"ALTER TABLE {LETTERS} ADD COLUMN reason varchar",
        ],
        f"{LETTERS} was altered beside the pipeline: its column reason was renamed to why, and",
        id="rename a column and add another in its place",
    ),
    pytest.param(
        [f"ALTER TABLE {STAGING} DROP COLUMN price"],
        f"{STAGING} was altered beside the pipeline: its column price was dropped. ",
        id="drop a column",
    ),
    pytest.param(
        [
            f"ALTER TABLE {RAW} DROP COLUMN headers",
            f"ALTER TABLE {RAW} ADD COLUMN headers array(row(key varchar, value varbinary))",
        ],
        f"{RAW} was altered beside the pipeline: its column headers was dropped and added again",
        id="drop a column and add it again",
    ),
    pytest.param(
        [f"ALTER TABLE {STAGING} ALTER COLUMN quantity SET DATA TYPE bigint"],
        f"{STAGING} was altered beside the pipeline: its column quantity was changed from int to l",
        id="retype a column",
    ),
    pytest.param(
        [f"ALTER TABLE {STAGING} RENAME TO staging.kept"],
        f"{STAGING} is not in the catalog, and its place .* they are of staging.kept",
        id="rename a table",
    ),
    pytest.param(
        [
            f"ALTER TABLE {RAW} RENAME TO raw.third",
            f"ALTER TABLE raw.product_metadata RENAME TO {RAW}",
            "ALTER TABLE raw.third RENAME TO raw.product_metadata",
        ],
        # Either of the two may be looked at first.
        f"({RAW} is at s3://.*, where raw.product_metadata|"
        f"raw.product_metadata is at s3://.*, where {RAW}) was made: tables were renamed",
        id="swap two tables",
    ),
]
GOES_ON = [
    pytest.param([f"DROP TABLE {STAGING}"], id="drop staging"),
    pytest.param([f"DROP TABLE {LETTERS}"], id="drop dead letters"),
    pytest.param([f"DROP TABLE {RAW}"], id="drop raw"),
    pytest.param(["DROP TABLE ops.accepted_gaps"], id="drop accepted gaps"),
    pytest.param(
        [f"ALTER TABLE {table} ADD COLUMN note varchar" for table in (STAGING, RAW, LETTERS)],
        id="add a column",
    ),
    pytest.param(
        [f"ALTER TABLE {STAGING} EXECUTE rollback_to_snapshot({{parent}})"], id="roll back"
    ),
    pytest.param([f"ALTER TABLE {STAGING} EXECUTE optimize"], id="optimize"),
    pytest.param(
        [
            "SET SESSION lake.expire_snapshots_min_retention = '0s'",
            *(
                f"ALTER TABLE {table} EXECUTE expire_snapshots(retention_threshold => '0s')"
                for table in (STAGING, RAW, LETTERS)
            ),
        ],
        id="expire snapshots",
    ),
    pytest.param(
        [
            "SET SESSION lake.remove_orphan_files_min_retention = '0s'",
            *(
                f"ALTER TABLE {table.name} EXECUTE remove_orphan_files(retention_threshold => '0s')"
                for table in TABLES
            ),
        ],
        id="remove orphan files",
    ),
    pytest.param(
        [
            f"CREATE TABLE staging.copy AS SELECT * FROM {STAGING}",
            f"DROP TABLE {STAGING}",
            f"ALTER TABLE staging.copy RENAME TO {STAGING}",
        ],
        id="put a copy in a table's place",
    ),
]
_numbers = iter(range(1000))


@pytest.fixture
def event(settings, spark) -> str:
    """Two purchases, of which one is in the tables, and the other in Kafka alone."""
    name = f"sql-{next(_numbers)}"
    produce(settings, PRICED.format(id=f"{name}-a"), "no JSON", key="u")
    ingest(spark, settings)
    produce(settings, PRICED.format(id=f"{name}-b"), key="u")
    return name


def assert_whole(spark, settings, query, event: str) -> None:
    """Both are staged once, with what was sent, and no message of any test is lost or doubled."""
    assert audit(spark, settings, is_full=True).findings == []
    rows = query(
        f"SELECT event_id, price, quantity FROM {STAGING} "
        f"WHERE event_id LIKE '{event}-%' ORDER BY 1"
    )
    assert [[name, float(price), number] for name, price, number in rows] == [
        [f"{event}-a", 10.5, 2],
        [f"{event}-b", 10.5, 2],
    ]


def statements(error: Exception) -> list[str]:
    """What a refusal says to run."""
    return re.findall(r"(?:ALTER TABLE|UPDATE|DROP TABLE|CALL) [^;]+(?=;)", str(error))


@pytest.mark.parametrize(("sql", "refusal"), REFUSED)
def test_what_would_lose_data_is_refused_until_the_sql_that_it_names_was_run(
    settings, spark, query, event, sql, refusal
):
    for statement in sql:
        query(statement)
    with pytest.raises(LakehouseError) as refused:
        ingest(spark, settings)
    assert re.match(refusal, str(refused.value))
    assert "\n" not in str(refused.value)
    with pytest.raises(LakehouseError) as again:
        audit(spark, settings, is_full=True)
    assert str(again.value) == str(refused.value)

    for statement in statements(refused.value):
        # Trino's DROP TABLE deletes files.
        spark.sql(statement) if "spark-sql" in str(refused.value) else query(statement)
    ingest(spark, settings)
    assert_whole(spark, settings, query, event)


@pytest.mark.parametrize("sql", GOES_ON)
def test_what_loses_nothing_is_followed_by_a_run_that_goes_on(settings, spark, query, event, sql):
    parent = iceberg_table(spark, STG_USER_EVENTS).currentSnapshot().parentId()
    for statement in sql:
        query(statement.format(parent=parent))
    ingest(spark, settings)
    assert_whole(spark, settings, query, event)


def test_branches_and_tags_are_left_alone(settings, spark, query, event):
    """Trino 476 makes none."""
    for name in ("BRANCH of_others", "TAG of_the_month"):
        spark.sql(f"ALTER TABLE lake.{STAGING} CREATE {name}")
    ingest(spark, settings)
    assert_whole(spark, settings, query, event)
    refs = {row.name for row in spark.table(f"lake.{STAGING}.refs").collect()}
    assert refs == {"main", "of_others", "of_the_month"}


def test_deleted_rows_are_found_by_a_full_audit_and_come_back_by_a_replay(
    settings, spark, query, event
):
    query(f"DELETE FROM {STAGING} WHERE event_id = '{event}-a'")
    ingest(spark, settings)
    (finding,) = audit(spark, settings, is_full=True).findings
    assert "user-events" in str(finding)
    replay(spark, settings, "user-events", Asked(None, ()))
    assert_whole(spark, settings, query, event)
