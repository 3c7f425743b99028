"""Kafka -> from_json -> one Iceberg table, by Structured Streaming and nothing of ours.

spark-submit bench/peers/spark_native.py CHECKPOINT
"""

import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

EVENT = """event_id STRING, user_id STRING, product_id STRING, event_type STRING,
           event_timestamp TIMESTAMP, event_data STRUCT<session_id: STRING, device: STRING,
           referrer: STRING, page: STRING, price: DECIMAL(18, 6), quantity: INT>"""


def main(checkpoint: str) -> None:
    spark = SparkSession.builder.appName("spark-native").getOrCreate()
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", os.environ["KAFKA_BOOTSTRAP_SERVERS"])
        .option("subscribe", "user-events")
        .option("startingOffsets", "earliest")
        .load()
    )
    event = F.from_json(F.col("value").cast("string"), EVENT)
    query = (
        records.select(event.alias("event"))
        .select("event.*")
        .writeStream.format("iceberg")
        .option("checkpointLocation", checkpoint)
        .trigger(availableNow=True)
        .toTable("lake.bench.user_events")
    )
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
