"""Ranges of a topic's offsets -> Arrow batches of the messages there, within a task."""

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from lakehouse.errors import LakehouseError
from lakehouse.kafka import client
from lakehouse.kafka.generations import in_kafka
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.kafka.records import record_batch
from lakehouse.retry import TransientError

MESSAGES_PER_POLL = 5000
# The first messages show how large they are; then a batch has about so many bytes at most.
FIRST_MESSAGES = 16
BYTES_PER_BATCH = 16 * 2**20
POLL_SECONDS = 0.1
# A broker that is started again takes less.
SILENCE_SECONDS = 30
_FIX = "Run this again, and report it if it stays"
_LOST = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


def consume(
    options: dict[str, Any], topic: str, ranges: Iterable[OffsetRange]
) -> Generator[tuple[OffsetRange, pa.RecordBatch], None, None]:
    """Read all messages of the ranges, with SOURCE_COLUMNS and the tables' partition numbers.

    LakehouseError where Kafka no longer holds one; TransientError where it does not answer.
    """
    consumer = client.consumer(
        options, "lakehouse-tasks", {"enable.partition.eof": True, "fetch.wait.max.ms": 5}
    )
    try:
        size = _BatchSize()
        for each in ranges:
            position = each.start
            for messages in _messages(consumer, topic, each, size):
                records = record_batch(each.partition, messages)
                position = _end_in_order(topic, each, position, records)
                size.fit(records)
                yield each, records
    finally:
        consumer.close()


class _BatchSize:
    """How many messages to ask for at once, by the size of those that came last."""

    def __init__(self) -> None:
        self.messages = FIRST_MESSAGES

    def fit(self, records: pa.RecordBatch) -> None:
        fitting = BYTES_PER_BATCH * len(records) // max(records.nbytes, 1)
        self.messages = max(1, min(fitting, MESSAGES_PER_POLL))


def _messages(
    consumer: Consumer, topic: str, asked: OffsetRange, size: _BatchSize
) -> Iterator[list[Message]]:
    """Offsets may be sparse: past the last message is Kafka's end, or a later message."""
    consumer.assign([TopicPartition(topic, in_kafka(asked.partition), asked.start)])
    position = asked.start
    heard = time.monotonic()
    while position < asked.end:
        most = min(size.messages, asked.end - position)
        answers = consumer.consume(most, POLL_SECONDS)
        found = [answer for answer in answers if not answer.error()]
        # The end of the partition comes among the messages before it.
        end = position
        if len(found) < len(answers):
            for answer in answers:
                if error := answer.error():
                    _check(error, topic, asked)
                    if answer.partition() == in_kafka(asked.partition):
                        end = max(end, _offset(answer))
        if found:
            _require_asked_for(topic, asked, found)
            position = _offset(found[-1]) + 1
        position = max(position, end)
        while found and _offset(found[-1]) >= asked.end:
            found.pop()
        if found:
            yield found
        if answers:
            heard = time.monotonic()
        else:
            _require_no_silence(heard, f"{topic}/{in_kafka(asked.partition)} from {position}")


def _require_no_silence(heard: float, what: str) -> None:
    if time.monotonic() - heard > SILENCE_SECONDS:
        raise TransientError(
            f"Kafka gave no message of {what} for {SILENCE_SECONDS} s", "Check the broker"
        )


def _require_asked_for(topic: str, asked: OffsetRange, found: list[Message]) -> None:
    """TransientError unless the messages are of the partition."""
    partition = in_kafka(asked.partition)
    if others := [each for each in found if each.partition() != partition or each.topic() != topic]:
        names = sorted({f"{each.topic()}/{each.partition()}" for each in others})
        raise TransientError(
            f"Kafka's client gave messages of {', '.join(names)} for {topic}/{partition}", _FIX
        )


def _end_in_order(topic: str, asked: OffsetRange, position: int, records: pa.RecordBatch) -> int:
    """Return the offset after the records; TransientError unless they follow it and each other."""
    offsets = records["offset"].to_numpy()
    if offsets[0] < position or np.any(np.diff(offsets) <= 0):
        where = f"{topic}/{in_kafka(asked.partition)}"
        raise TransientError(
            f"Kafka's client gave messages of {where} from offset {position} out of order", _FIX
        )
    return int(offsets[-1]) + 1


def peek(options: dict[str, Any], topic: str, offsets: dict[int, int]) -> dict[int, pa.RecordBatch]:
    """The first message that Kafka gives from each offset on, by Kafka's own partition numbers.

    Without the partitions where it gives none: what was asked for is past their end, or gone.
    """
    more = {
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
        # One message of each is enough: by default a thousand partitions could give 1 GB.
        "fetch.message.max.bytes": 2**16,
    }
    consumer = client.consumer(options, "lakehouse-peeks", more)
    left = set(offsets)
    found = {}
    heard = time.monotonic()
    try:
        consumer.assign([TopicPartition(topic, p, offset) for p, offset in offsets.items()])
        while left:
            for answer in consumer.consume(len(left), POLL_SECONDS):
                partition = answer.partition()
                if partition not in left:
                    continue
                error = answer.error()
                if not error:
                    found[partition] = record_batch(partition, [answer])
                elif error.code() not in (KafkaError._PARTITION_EOF, *_LOST):
                    _check(
                        error, topic, OffsetRange(partition, offsets[partition], offsets[partition])
                    )
                left.discard(partition)
                consumer.incremental_unassign([TopicPartition(topic, partition)])
                heard = time.monotonic()
            _require_no_silence(heard, f"{len(left)} partitions of {topic}")
    finally:
        consumer.close()
    return found


def _offset(answer: Message) -> int:
    """Return the offset of a message or of an end of partition."""
    offset = answer.offset()
    return -1 if offset is None else offset


def _check(error: KafkaError, topic: str, asked: OffsetRange) -> None:
    if error.code() == KafkaError._PARTITION_EOF:
        return
    where = f"{topic}/{in_kafka(asked.partition)}"
    if error.code() in _LOST:
        raise LakehouseError(
            f"Kafka lost messages of {where} while they were read",
            "Run this again: it says how to go on",
        )
    if error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
        raise TransientError(f"Kafka failed at {where}: {error.str()}", "Check the broker")
    raise KafkaException(error)
