"""What loads the classes that jobs use, without any service: spark-submit training.py FOLDER"""

import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.iceberg.catalog import as_dict, java_class
from lakehouse.iceberg.table import CATALOG
from lakehouse.stack.home import CONF
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import ACCEPTED_GAPS, DUPLICATES


def session(folder: Path) -> SparkSession:
    """Make a session with catalog and tables in this folder."""
    file = folder / "catalog.sqlite"
    with closing(sqlite3.connect(file)) as catalog:
        catalog.executescript((CONF / "catalog.sql").read_text())
    lake = f"spark.sql.catalog.{CATALOG}"
    return (
        SparkSession.builder.config(f"{lake}.uri", f"jdbc:sqlite:{file}")
        .config(f"{lake}.warehouse", f"file:{folder}/warehouse")
        .config(f"{lake}.io-impl", "org.apache.iceberg.hadoop.HadoopFileIO")
        .getOrCreate()
    )


def train(spark: SparkSession, folder: Path) -> None:
    create_missing(spark)
    gap = [("t", 0, 0, 1, "none", None)]
    schema = spark.table(ACCEPTED_GAPS.identifier).schema
    spark.createDataFrame(gap, schema).writeTo(ACCEPTED_GAPS.identifier).append()
    spark.table(ACCEPTED_GAPS.identifier).groupBy("topic").agg(F.max("end_offset")).collect()
    repeated = spark.table(DUPLICATES.identifier).selectExpr("xxhash64(event_id) AS key")
    repeated.mapInArrow(_same, "key long").toArrow()
    spark.range(2).mapInArrow(_same, "id long").collect()
    text = folder / "text"
    text.mkdir()
    (text / "a.txt").write_text("a")
    query = (
        spark.readStream.text(f"file:{text}")
        .writeStream.foreachBatch(lambda batch, number: None)
        .option("checkpointLocation", f"file:{folder}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    spark.read.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:9").option(
        "subscribe", "t"
    ).load()
    store = java_class(spark._jvm, "org.apache.iceberg.aws.s3.S3FileIO")()
    store.initialize({"client.region": "us-east-1"})
    store.client()
    as_dict(spark._jvm, store.properties())
    store.close()


def _same(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


if __name__ == "__main__":
    place = Path(sys.argv[1]).absolute()
    spark = session(place)
    train(spark, place)
    spark.stop()
