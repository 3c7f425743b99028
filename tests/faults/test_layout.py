"""Tables that somebody has altered since they were made."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import hostile
import pytest
from broker import EVENT
from pyarrow import fs
from shop import RAW_PRODUCT_METADATA, RAW_USER_EVENTS, STG_PRODUCT_METADATA, STG_USER_EVENTS

from lakehouse.dead_letters.browse import Selection
from lakehouse.dead_letters.settle import discard
from lakehouse.dead_letters.settle import replay as dead_letters_replay
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import iceberg_table, java_class
from lakehouse.kafka.offsets import Origin
from lakehouse.maintenance.compact import compact
from lakehouse.maintenance.expire import expire
from lakehouse.replay.run import replay as replay_raw
from lakehouse.replay.slices import Asked
from lakehouse.stack import processes
from lakehouse.stack.services import Trino
from lakehouse.tables.accepted import Gap, accepted_gaps, record_gaps, record_topic
from lakehouse.tables.definitions import DEAD_LETTERS, TABLES

# Table -> changes of its partitioning: each transform, of each type that a column of ours has.
CHANGES = {
    STG_USER_EVENTS: (
        "DROP PARTITION FIELD bucket(4, user_id)",
        "REPLACE PARTITION FIELD days(event_timestamp) WITH hours(event_timestamp) AS at_hour",
        "ADD PARTITION FIELD user_id AS whole",
        "ADD PARTITION FIELD truncate(8, user_id) AS start",
        "ADD PARTITION FIELD bucket(3, price) AS price_bucket",
        "ADD PARTITION FIELD truncate(10, quantity) AS quantity_tens",
    ),
    STG_PRODUCT_METADATA: (
        "DROP PARTITION FIELD bucket(4, product_id)",
        "ADD PARTITION FIELD updated_at AS at",
        "ADD PARTITION FIELD price AS price_whole",
        "ADD PARTITION FIELD truncate(50, price) AS price_start",
        "ADD PARTITION FIELD is_deleted AS deleted",
        "ADD PARTITION FIELD bucket(4, updated_at) AS at_bucket",
        "ADD PARTITION FIELD name AS whole",
    ),
    RAW_USER_EVENTS: (
        "REPLACE PARTITION FIELD days(kafka_timestamp) WITH months(kafka_timestamp) AS at_month",
        "ADD PARTITION FIELD key AS whole_key",
        "ADD PARTITION FIELD truncate(4, value) AS value_start",
        "ADD PARTITION FIELD bucket(4, key) AS key_bucket",
        "ADD PARTITION FIELD bucket(4, offset) AS offset_bucket",
    ),
    RAW_PRODUCT_METADATA: (
        "REPLACE PARTITION FIELD days(kafka_timestamp) WITH years(kafka_timestamp) AS at_year",
        "ADD PARTITION FIELD truncate(2, offset) AS offset_pairs",
    ),
}
# Table -> field of its partitioning -> what Iceberg's own functions say of each row.
EXPECTED = {
    STG_USER_EVENTS: {
        "at_hour": "lake.system.hours(event_timestamp)",
        "whole": "user_id",
        "start": "lake.system.truncate(8, user_id)",
        "price_bucket": "lake.system.bucket(3, price)",
        "quantity_tens": "lake.system.truncate(10, quantity)",
    },
    STG_PRODUCT_METADATA: {
        "at": "updated_at",
        "price_whole": "price",
        "price_start": "lake.system.truncate(50, price)",
        "deleted": "is_deleted",
        "at_bucket": "lake.system.bucket(4, updated_at)",
        "whole": "name",
    },
    RAW_USER_EVENTS: {
        "at_month": "lake.system.months(kafka_timestamp)",
        "whole_key": "key",
        "value_start": "lake.system.truncate(4, value)",
        "key_bucket": "lake.system.bucket(4, key)",
        "offset_bucket": "lake.system.bucket(4, offset)",
    },
    RAW_PRODUCT_METADATA: {
        "at_year": "lake.system.years(kafka_timestamp)",
        "offset_pairs": "lake.system.truncate(2, offset)",
    },
}


def test_a_table_with_other_partitions_and_columns_takes_in_what_comes_then(lakehouse):
    staging = STG_USER_EVENTS.identifier
    lakehouse.produce(EVENT.format(id="before"), key="u")
    lakehouse.ingest()
    for change in (
        "ADD COLUMN note STRING FIRST",
        "REPLACE PARTITION FIELD bucket(4, user_id) WITH truncate(1, user_id) AS initial",
    ):
        lakehouse.spark.sql(f"ALTER TABLE {staging} {change}")
    lakehouse.produce(EVENT.format(id="after"), EVENT.format(id="before"), key="u")
    total = lakehouse.ingest()["user-events"].total
    assert (total.staged, total.duplicate) == (1, 1)
    files = lakehouse.spark.table(f"{staging}.files").select("spec_id", "partition.initial")
    assert sorted(map(tuple, files.collect())) == [(0, None), (1, "u")]
    assert lakehouse.count(staging.removeprefix("lake."), "user_id = 'u' AND note IS NULL") == 2
    assert lakehouse.audit().findings == []


def test_a_column_that_an_older_table_never_had_is_added(lakehouse):
    older = replace(DEAD_LETTERS, columns=[c for c in DEAD_LETTERS.columns if c.name != "reason"])
    lakehouse.spark.sql("CREATE NAMESPACE IF NOT EXISTS ops")
    lakehouse.spark.sql(older.ddl(f"s3://{lakehouse.home.bucket}/warehouse/ops/dead_letters"))
    lakehouse.create_tables()
    assert lakehouse.spark.table(DEAD_LETTERS.identifier).columns == DEAD_LETTERS.column_names


def test_a_renamed_or_dropped_column_of_any_table_is_refused_until_it_is_back(lakehouse):
    lakehouse.create_tables()
    for table in TABLES:
        column = table.column_names[-1]
        for change, what in (
            (f"RENAME COLUMN {column} TO other", "was renamed to other"),
            (f"DROP COLUMN {column}", "was dropped"),
        ):
            lakehouse.spark.sql(f"ALTER TABLE {table.identifier} {change}")
            before = lakehouse.spark.table(table.identifier).columns
            refusal = rf"{table.name} was altered beside the pipeline: its column {column} {what}"
            with pytest.raises(LakehouseError, match=refusal) as refused:
                lakehouse.create_tables()
            assert lakehouse.spark.table(table.identifier).columns == before
            run_what_it_says(lakehouse, refused.value)
            lakehouse.create_tables()
            assert lakehouse.spark.table(table.identifier).columns == table.column_names


def test_a_table_that_was_renamed_owns_its_place_whatever_is_made_then(lakehouse):
    lakehouse.create_tables()
    spark = lakehouse.spark
    for table in TABLES:
        place = iceberg_table(spark, table).location()
        spark.sql(f"ALTER TABLE {table.name} RENAME TO {table.name}_kept")
        # It was never written to, so it looks like a creation that was killed.
        lakehouse.create_tables()
        assert iceberg_table(spark, table).location().startswith(f"{place}-")
        spark.sql(f"DROP TABLE {table.name}")
        spark.sql(f"ALTER TABLE {table.name}_kept RENAME TO {table.name}")

    lakehouse.produce(EVENT.format(id="one"), "no JSON", key="u")
    lakehouse.ingest()
    for table in (RAW_USER_EVENTS, STG_USER_EVENTS, DEAD_LETTERS):
        spark.sql(f"ALTER TABLE {table.name} RENAME TO {table.name}_kept")
        with pytest.raises(LakehouseError, match=f"they are of {table.name}_kept") as refused:
            lakehouse.ingest()
        run_what_it_says(lakehouse, refused.value)
    assert lakehouse.audit().verdict == "conserved: 2 messages, each exactly once"


def run_what_it_says(lakehouse, refusal: Exception) -> None:
    for statement in re.findall(r"(?:ALTER TABLE|DROP TABLE|CALL) [^;]+(?=;)", str(refusal)):
        lakehouse.spark.sql(statement)


def test_every_job_writes_to_tables_with_columns_of_others(lakehouse):
    lakehouse.create_tables()
    for table in TABLES:
        lakehouse.spark.sql(f"ALTER TABLE {table.identifier} ADD COLUMN note STRING FIRST")
    lakehouse.produce(*(EVENT.format(id=number) for number in range(5)), "no JSON", key="u")
    lakehouse.produce(EVENT.format(id=0), '{"event_id":"", "x":1}', key="u")
    lakehouse.ingest()
    assert lakehouse.audit().findings == []

    # Replay, dead letters, and what people accept, by Spark's own writers.
    spark, topic = lakehouse.spark, "user-events"
    spark.sql(f"DELETE FROM {STG_USER_EVENTS.identifier} WHERE event_id = '3'")
    assert replay_raw(spark, lakehouse.settings, topic, Asked(None, ())).staged == 1
    selection = Selection(error_class="MALFORMED_JSON")
    assert discard(spark, selection, "of a test", False, lambda: None) == 1
    dead_letters_replay(spark, Selection(), timedelta(0), False, lambda: None)
    record_gaps(spark, topic, [Gap(7, 0, 3)], "of a test")
    record_topic(spark, "of-a-test", 1, Origin("cluster", "topic"), "of a test")
    assert accepted_gaps(spark, topic) == [Gap(7, 0, 3, "of a test")]
    assert lakehouse.count("ops.dead_letters", "outcome = 'discarded' AND note IS NULL") == 1
    compact(spark)
    expire(spark, timedelta(0))
    assert lakehouse.ingest()["user-events"].total.read == 0
    assert lakehouse.count("staging.stg_user_events", "note IS NULL") == 5


def test_a_partition_by_a_column_of_others_is_refused_before_anything_is_written(lakehouse):
    lakehouse.create_tables()
    for change in ("ADD COLUMN note STRING", "ADD PARTITION FIELD note"):
        lakehouse.spark.sql(f"ALTER TABLE {STG_USER_EVENTS.identifier} {change}")
    lakehouse.produce(EVENT.format(id="one"), key="u")
    before = lakehouse.snapshots()
    with pytest.raises(LakehouseError, match=r"stg_user_events is partitioned by identity\(note\)"):
        lakehouse.ingest()
    assert lakehouse.snapshots() == before
    lakehouse.spark.sql(f"ALTER TABLE {STG_USER_EVENTS.identifier} DROP PARTITION FIELD note")
    lakehouse.ingest()
    assert lakehouse.audit().findings == []


@pytest.fixture
def trino(lakehouse) -> Iterator:
    """SQL -> rows, on a Trino of this lakehouse's own catalog."""
    service = Trino(lakehouse.home)
    lakehouse.home.move_taken_ports(service.ports)
    processes.start(service, print)
    try:
        with service.connect() as connection:

            def run(sql: str) -> list[list]:
                return connection.cursor().execute(sql).fetchall()

            yield run
    finally:
        processes.stop([service], print)


def test_whatever_the_values_of_a_partition_are_no_file_is_written_twice(lakehouse, trino):
    lakehouse.create_tables()
    for table, changes in CHANGES.items():
        for change in changes:
            lakehouse.spark.sql(f"ALTER TABLE {table.identifier} {change}")
    users = [*hostile.TEXTS, None]
    sent = []
    kept: dict[str, str] = {}
    for run in ("first", "second"):
        for number, user in enumerate(users):
            event_id = f"{run}-{number}"
            sent.append((event_id, user))
            lakehouse.produce(purchase(event_id, user, number), key=user)
            product = {"product_id": f"P{number}", "name": user, "price": number - 0.5}
            lakehouse.produce(
                json.dumps(product if number else {"product_id": "P0", "name": ""}),
                topic="product-metadata",
                key=f"P{number}",
            )
        reports = lakehouse.ingest().values()
        assert [report.total.staged for report in reports] == [len(users)] * 2
        now = digests(lakehouse)
        assert {path: now[path] for path in kept} == kept
        kept = now
    for table, fields in EXPECTED.items():
        for name, expected in fields.items():
            wrong = f"NOT (_partition.{name} <=> {expected})"
            assert lakehouse.spark.table(table.identifier).where(wrong).count() == 0, name
    expected = sorted(sent)
    by_spark = lakehouse.spark.table(STG_USER_EVENTS.identifier).select("event_id", "user_id")
    assert sorted(map(tuple, by_spark.collect())) == expected
    by_trino = trino("SELECT event_id, user_id FROM staging.stg_user_events")
    assert sorted(map(tuple, by_trino)) == expected
    for user in ("ann#1", "%2F", "..", "'"):
        quoted = user.replace("'", "''")
        where = f"user_id = '{quoted}'"
        assert len(trino(f"SELECT * FROM staging.stg_user_events WHERE {where}")) == 2
    for table in EXPECTED:
        assert trino(f"SELECT count(*) FROM {table.name}") == [[2 * len(users)]]
    assert lakehouse.audit().findings == []


def purchase(event_id: str, user: str | None, number: int) -> str:
    return json.dumps(
        {
            "event_id": event_id,
            "user_id": user,
            "product_id": "P1",
            "event_type": "purchase",
            "event_timestamp": "2026-03-05T10:00:00Z",
            "event_data": {"price": number / 4, "quantity": number + 1},
        }
    )


def digests(lakehouse) -> dict[str, str]:
    """Data files of all tables -> what is in them."""
    everything = fs.FileSelector(lakehouse.home.bucket, recursive=True)
    found = {}
    for info in lakehouse.store.get_file_info(everything):
        if info.path.endswith(".parquet"):
            with lakehouse.store.open_input_file(info.path) as file:
                found[info.path] = sha256(file.read()).hexdigest()
    return found


def test_what_is_kept_of_each_file_is_what_iceberg_reads_in_its_footer(lakehouse):
    lakehouse.produce(EVENT.format(id="one"), EVENT.format(id="two") + " ", "no JSON", key="u")
    lakehouse.ingest()
    metrics = java_class(lakehouse.spark._jvm, "org.apache.iceberg.MetricsConfig")
    footers = java_class(lakehouse.spark._jvm, "org.apache.iceberg.parquet.ParquetUtil")
    for table in (RAW_USER_EVENTS, STG_USER_EVENTS, DEAD_LETTERS):
        loaded = iceberg_table(lakehouse.spark, table)
        config = metrics.forTable(loaded)
        nested = {field.fieldId() for field in loaded.schema().columns() if _is_nested(field)}
        tasks = loaded.newScan().includeColumnStats().planFiles().iterator()
        while tasks.hasNext():
            file = tasks.next().file()
            source = loaded.io().newInputFile(file.location())
            expected = footers.fileMetrics(source, config)
            assert file.recordCount() == expected.recordCount()
            for kept, read in (
                (file.valueCounts(), expected.valueCounts()),
                (file.nullValueCounts(), expected.nullValueCounts()),
                (file.columnSizes(), expected.columnSizes()),
                (file.lowerBounds(), expected.lowerBounds()),
                (file.upperBounds(), expected.upperBounds()),
            ):
                assert dict(kept) == {id_: read[id_] for id_ in read if id_ in kept} != {}
                assert set(read) - set(kept) <= nested | _within(loaded, nested)


def _is_nested(field) -> bool:
    return not field.type().isPrimitiveType()


def _within(table, nested: set[int]) -> set[int]:
    by_id = lakehouse_ids(table)
    return {id_ for id_, name in by_id.items() if name.split(".")[0] in {by_id[n] for n in nested}}


def lakehouse_ids(table) -> dict[int, str]:
    return dict(table.schema().idToName())
