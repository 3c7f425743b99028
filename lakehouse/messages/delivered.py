"""Offset ranges of a topic -> the positions of the messages that Kafka delivers there, in tasks.

Spark's own source takes 6.6 CPU-us for each message of 400 bytes, which it copies into a row, and
this 2.6; and it starts a task and a consumer for each partition.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from pyspark.sql import DataFrame, SparkSession

from lakehouse.kafka import client
from lakehouse.kafka.consumer import SILENCE_SECONDS
from lakehouse.kafka.generations import in_kafka
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.messages.decode import spare_worker
from lakehouse.messages.offset_chunks import SEEN, seen
from lakehouse.retry import TransientError

MESSAGES_PER_TASK = 100_000
MESSAGES_PER_POLL = 10_000
POLL_SECONDS = 0.1
# Kafka's client goes on by itself once a broker is back.
_AWAY = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)


def delivered(
    spark: SparkSession, options: dict[str, str], topic: str, ranges: dict[int, range], place: str
) -> DataFrame:
    """Messages in the ranges of partitions, as the tables number them, as SEEN at the place.

    Messages that retention removes in the meantime are left out.
    """
    return _read_by(spark, options, topic, ranges, lambda found: seen(found, place), SEEN)


def count_delivered(
    spark: SparkSession, options: dict[str, str], topic: str, ranges: dict[int, range]
) -> Counter[int]:
    """Partition -> how many messages of its range Kafka delivers now."""

    def counted(found: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counts: Counter[int] = Counter()
        for batch in found:
            counts.update(batch["partition"].to_pylist())
        columns = pa.array(counts.keys(), pa.int32()), pa.array(counts.values(), pa.int64())
        yield pa.RecordBatch.from_arrays(list(columns), ["partition", "messages"])

    schema = "partition int, messages long"
    total: Counter[int] = Counter()
    for row in _read_by(spark, options, topic, ranges, counted, schema).collect():
        total[row.partition] += row.messages
    return total


def _read_by(
    spark: SparkSession,
    options: dict[str, str],
    topic: str,
    ranges: dict[int, range],
    reduce: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: str,
) -> DataFrame:
    """Apply `reduce` in each task to the positions that Kafka delivers."""
    parts = _parts(ranges, spark.sparkContext.defaultParallelism)

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from reduce(_read(options, topic, parts[number]))

    return spark.range(0, len(parts), 1, len(parts)).mapInArrow(work, schema)


def _parts(ranges: dict[int, range], most: int) -> list[list[OffsetRange]]:
    """About equal parts, for as many tasks as pay; in each part a partition is once."""
    total = sum(map(len, ranges.values()))
    count = max(1, min(most, total // MESSAGES_PER_TASK))
    parts: list[list[OffsetRange]] = [[] for _ in range(count)]
    for partition, offsets in ranges.items():
        for number, part in enumerate(parts):
            share = offsets[len(offsets) * number // count : len(offsets) * (number + 1) // count]
            if share:
                part.append(OffsetRange(partition, share.start, share.stop))
    return parts


def _read(
    options: dict[str, str], topic: str, ranges: list[OffsetRange]
) -> Iterator[pa.RecordBatch]:
    """Read all partitions at once: one by one, each would wait for a fetch of its own."""
    spare_worker()
    more = {
        # Past what retention has removed in the meantime.
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
    }
    consumer = client.consumer(options, "lakehouse-audit", more)
    left = {in_kafka(each.partition): each for each in ranges}
    heard = time.monotonic()
    try:
        consumer.assign([TopicPartition(topic, p, each.start) for p, each in left.items()])
        while left:
            before = set(left)
            found = list(_found(consumer.consume(MESSAGES_PER_POLL, POLL_SECONDS), left))
            yield from found
            if ended := before - left.keys():
                # What another task reads, or nobody asked for, need not come here.
                consumer.pause([TopicPartition(topic, partition) for partition in ended])
            if found or ended:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS:
                where = ", ".join(f"{topic}/{partition}" for partition in sorted(left)[:3])
                raise TransientError(
                    f"Kafka gave no message of {where} for {SILENCE_SECONDS} s", "Check the broker"
                )
    finally:
        consumer.close()


def _found(answers: list[Message], left: dict[int, OffsetRange]) -> Iterator[pa.RecordBatch]:
    """The positions asked for; takes partitions that have come to their ends off `left`."""
    offsets: dict[int, list[int]] = defaultdict(list)
    ended = []
    for answer in answers:
        partition, offset = cast(int, answer.partition()), cast(int, answer.offset())
        if not (error := answer.error()):
            offsets[partition].append(offset)
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.append(partition)
        elif not (error.retriable() or error.code() in _AWAY):
            raise KafkaException(error)
    for partition, each in offsets.items():
        if asked := left.get(partition):
            numbers = np.array(each)
            if numbers[-1] + 1 >= asked.end:
                ended.append(partition)
            # Retention, or a topic made anew, may have taken Kafka's client elsewhere.
            numbers = numbers[(numbers >= asked.start) & (numbers < asked.end)]
            same = np.full(len(numbers), asked.partition, np.int32)
            yield pa.RecordBatch.from_arrays([same, numbers], ["partition", "offset"])
    for partition in ended:
        left.pop(partition, None)
