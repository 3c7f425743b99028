"""Tables that somebody has altered since they were made."""

from broker import EVENT

from lakehouse.tables import STG_USER_EVENTS


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
