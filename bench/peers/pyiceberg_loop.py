"""Kafka -> pyarrow's JSON reader -> one Iceberg table, in one process and without any guarantee.

The ceiling: no bookmark, no check, no dead letter; a crash between two commits doubles or loses.

python -m bench.peers.pyiceberg_loop CATALOG_FILE
"""

import io
import os
import sys

import pyarrow as pa
import pyarrow.json as pj
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from pyiceberg.io.pyarrow import schema_to_pyarrow

from bench.peers.table import NAME, SCHEMA, catalog

TOPIC = "user-events"
ROWS_PER_COMMIT = 500_000
MESSAGES_PER_CALL = 10_000
CONSUMER = {
    "group.id": "pyiceberg-loop",
    "enable.auto.commit": False,
    "fetch.max.bytes": 50_000_000,
    "max.partition.fetch.bytes": 8_000_000,
    "queued.max.messages.kbytes": 65_536,
    # The default waits a second whenever the queue is full.
    "fetch.queue.backoff.ms": 10,
}


def columns() -> pa.Schema:
    """Without ids and with pyarrow's plain strings, as its JSON reader wants them."""
    fields = schema_to_pyarrow(SCHEMA, include_field_ids=False)
    return pa.schema([_plain(field) for field in fields])


def _plain(field: pa.Field) -> pa.Field:
    if pa.types.is_struct(field.type):
        return pa.field(field.name, pa.struct([_plain(inner) for inner in field.type]))
    return pa.field(field.name, pa.string() if pa.types.is_large_string(field.type) else field.type)


def main(catalog_file: str) -> None:
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], **CONSUMER})
    partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    left = 0
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=10)
        left += high - low
    consumer.assign(
        [TopicPartition(TOPIC, partition, OFFSET_BEGINNING) for partition in partitions]
    )
    store = {
        "s3.endpoint": os.environ["S3_ENDPOINT"],
        "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "s3.region": os.environ["AWS_REGION"],
    }
    table = catalog(catalog_file, os.environ["ICEBERG_WAREHOUSE"], store).load_table(NAME)
    parse = pj.ParseOptions(explicit_schema=columns(), unexpected_field_behavior="ignore")
    read = pj.ReadOptions(block_size=8_000_000)
    while left:
        values: list[bytes] = []
        while len(values) < min(ROWS_PER_COMMIT, left):
            values += [message.value() for message in consumer.consume(MESSAGES_PER_CALL, 0.5)]
        table.append(pj.read_json(io.BytesIO(b"\n".join(values)), read, parse))
        left -= len(values)
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1])
