"""Several warehouses in one bucket, and places of tables that are already in use."""

import re
import time

import pytest
from broker import EVENT
from lakehouses import new_session
from shop import RAW_USER_EVENTS, STG_USER_EVENTS

from lakehouse.audit.run import audit
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import catalog_properties, iceberg_table, java_class
from lakehouse.ingest.run import ingest
from lakehouse.locks.writer_lock import writer_lock
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import TABLES


@pytest.fixture
def another(lakehouse, spark, tmp_path):
    """A session on another catalog, with the warehouse that is asked for."""

    def session(warehouse: str):
        file = tmp_path / f"{time.monotonic_ns()}.sqlite"
        return new_session(
            spark,
            catalog_properties(lakehouse.spark)
            | {"uri": f"jdbc:sqlite:{file}", "warehouse": warehouse},
        )

    return session


def test_two_warehouses_of_one_bucket_neither_wait_for_each_other_nor_lose_files(
    lakehouse, another
):
    lakehouse.produce(*(EVENT.format(id=number) for number in range(9)), "no JSON", key="u")
    first, second = lakehouse.spark, another(f"s3://{lakehouse.home.bucket}/second")
    with writer_lock(first, "user-events", 60):
        ingest(second, lakehouse.settings)
    ingest(first, lakehouse.settings)
    for session in (first, second):
        for table in TABLES:
            remove_orphans(session, table)
    for session in (first, second):
        result = audit(session, lakehouse.settings, is_full=True)
        assert result.verdict == "conserved: 10 messages, each exactly once"
        assert session.table(RAW_USER_EVENTS.identifier).count() == 10


def remove_orphans(session, table) -> None:
    """Whatever their age, which the procedure refuses."""
    actions = java_class(session._jvm, "org.apache.iceberg.spark.actions.SparkActions")
    action = actions.get(session._jsparkSession).deleteOrphanFiles(iceberg_table(session, table))
    action.usePrefixListing(True).olderThan(int(time.time() * 1000) + 60_000).execute()


def test_a_second_catalog_with_the_same_warehouse_is_refused_and_changes_nothing(
    lakehouse, another
):
    lakehouse.produce(EVENT.format(id="one"), key="u")
    lakehouse.ingest()
    second = another(f"s3://{lakehouse.home.bucket}/warehouse")
    before = lakehouse.snapshots()
    with pytest.raises(LakehouseError, match=r"raw.user_events is not in the catalog, and its pla"):
        ingest(second, lakehouse.settings)
    assert second.sql("SHOW NAMESPACES").collect() == []
    assert lakehouse.snapshots() == before
    assert lakehouse.audit().findings == []


def test_a_warehouse_without_a_folder_is_refused(lakehouse, another):
    session = another(f"s3://{lakehouse.home.bucket}")
    for attempt in (create_missing, lambda spark: ingest(spark, lakehouse.settings)):
        with pytest.raises(LakehouseError, match="names no folder in a bucket"):
            attempt(session)


def test_a_creation_that_was_killed_does_not_hold_up_the_next(lakehouse):
    place = f"{lakehouse.home.bucket}/raw-data/user-events/metadata"
    with lakehouse.store.open_output_stream(f"{place}/00000-killed.metadata.json") as file:
        file.write(b"{}")
    lakehouse.produce(EVENT.format(id="one"), key="u")
    lakehouse.ingest()
    location = iceberg_table(lakehouse.spark, RAW_USER_EVENTS).location()
    assert re.fullmatch(
        rf"s3://{lakehouse.home.bucket}/raw-data/user-events-[0-9a-f]{{8}}", location
    )
    assert lakehouse.audit().verdict == "conserved: 1 messages, each exactly once"


def test_a_foreign_object_at_the_place_of_a_new_table_is_refused_and_left_alone(lakehouse):
    foreign = f"{lakehouse.home.bucket}/warehouse/staging/stg_user_events/data/of-others.parquet"
    with lakehouse.store.open_output_stream(foreign) as file:
        file.write(b"not ours")
    with pytest.raises(LakehouseError, match=r"of-others\S+ that no table knows. N"):
        lakehouse.ingest()
    with lakehouse.store.open_input_stream(foreign) as file:
        assert file.read() == b"not ours"


def test_a_dropped_table_comes_back_by_the_command_that_the_refusal_names(lakehouse):
    lakehouse.produce(EVENT.format(id="one"), EVENT.format(id="two"), key="u")
    lakehouse.ingest()
    lakehouse.spark.sql(f"DROP TABLE {STG_USER_EVENTS.identifier}")
    with pytest.raises(LakehouseError, match="so it was dropped") as refused:
        lakehouse.ingest()
    lakehouse.spark.sql(re.search(r"CALL [^;]*\)", str(refused.value))[0])
    assert lakehouse.ingest()["user-events"].total.read == 0
    assert lakehouse.audit().verdict == "conserved: 2 messages, each exactly once"
