"""Offsets that Spark has planned, read from the checkpoint of a query on one of its own sources."""

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.ingest.planned_offsets import planned_offsets


def test_each_batch_is_told_where_it_ends_before_it_is_written(spark, tmp_path):
    told = []

    def write(rows, batch_id):
        told.append((rows.count(), planned_offsets(tmp_path, batch_id)["offset"]))

    query = (
        spark.readStream.format("rate-micro-batch")
        .option("rowsPerBatch", 7)
        .load()
        .writeStream.foreachBatch(write)
        .option("checkpointLocation", f"file:{tmp_path}")
        .trigger(processingTime="0 seconds")
        .start()
    )
    try:
        while len(told) < 3:
            assert query.isActive
            query.awaitTermination(0.1)
    finally:
        query.stop()
    assert told[:3] == [(7, 7), (7, 14), (7, 21)]


@pytest.mark.parametrize("log", ['v2\n{}\n{"t":{"0":1}}', 'v1\n{}\n{"t":{"0":1}}\n{"t":{"0":1}}'])
def test_another_format_of_spark_is_refused(tmp_path, log):
    (tmp_path / "offsets").mkdir()
    (tmp_path / "offsets" / "0").write_text(log)
    with pytest.raises(LakehouseError, match=r"Spark's offset log .*/offsets/0 is of version v"):
        planned_offsets(tmp_path, 0)
