"""Tables that somebody has altered since they were made."""

from broker import EVENT

from lakehouse.iceberg import iceberg_table, java_class
from lakehouse.tables import DEAD_LETTERS, RAW_USER_EVENTS, STG_USER_EVENTS


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
    total = lakehouse.ingest()[0].total
    assert (total.staged, total.duplicate) == (1, 1)
    files = lakehouse.spark.table(f"{staging}.files").select("spec_id", "partition.initial")
    assert sorted(map(tuple, files.collect())) == [(0, None), (1, "u")]
    assert lakehouse.count(staging.removeprefix("lake."), "user_id = 'u' AND note IS NULL") == 2
    assert lakehouse.audit().findings == []


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
