"""The last message that was taken in from each partition: is it what Kafka holds there today?

After an unclean leader election, or on a broker that was restored from an older copy and went on,
an offset can stand for another message. A digest tells, whatever the broker's leader epochs say:
these begin again on a restored broker, and Kafka's Python client can't ask for their ends.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping

import pyarrow as pa

from lakehouse.kafka.client import reader_options
from lakehouse.kafka.consumer import peek
from lakehouse.kafka.generations import generation_of, in_kafka
from lakehouse.kafka.offsets import NO_TOPIC_ID, LastMessage
from lakehouse.kafka.topics import Topic
from lakehouse.settings import Settings

log = logging.getLogger("lakehouse.kafka")


def last_message(records: pa.RecordBatch) -> LastMessage:
    """The last of these, by its key, value and timestamp."""
    last = records.slice(len(records) - 1)
    digest = hashlib.blake2b(digest_size=8)
    for part in (last["key"][0].as_py(), last["value"][0].as_py()):
        # The length tells where one ends, and null from empty.
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    digest.update(str(last["timestamp"].cast(pa.int64())[0].as_py()).encode())
    return LastMessage(last["offset"][0].as_py(), digest.hexdigest())


def newest(each: Iterable[Mapping[int, LastMessage]]) -> dict[int, LastMessage]:
    """The one with the largest offset of each partition."""
    found: dict[int, LastMessage] = {}
    for messages in each:
        for partition, message in messages.items():
            found[partition] = max(message, found.get(partition, message))
    return found


def changed_messages(
    settings: Settings, topic: Topic, known: Mapping[int, LastMessage], generation: int
) -> list[tuple[int, int]]:
    """Partitions and offsets where Kafka has another message now; with Kafka's own numbers."""
    if topic.origin.topic_id == NO_TOPIC_ID:
        log.warning(
            "this broker gives topics no id: that one was made anew is told by its messages alone",
            extra={"topic": topic.name},
        )
    asked = {in_kafka(p): last for p, last in known.items() if generation_of(p) == generation}
    asked = {p: last for p, last in asked.items() if p in topic.latest}
    if not asked:
        return []
    offsets = {partition: last.offset for partition, last in asked.items()}
    found = {
        p: last_message(of) for p, of in peek(reader_options(settings), topic.name, offsets).items()
    }
    unknown = [p for p in asked if p not in found or found[p].offset != offsets[p]]
    if unknown:
        log.warning(
            "Kafka no longer holds the last message that was taken in; whether what follows it is "
            "of the same log can't be known",
            extra={"topic": topic.name, "partitions": unknown},
        )
    return [(p, offsets[p]) for p in sorted(asked) if p not in unknown and found[p] != asked[p]]
