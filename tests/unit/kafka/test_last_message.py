"""The last message of each partition, as a bookmark keeps it."""

import hashlib
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from lakehouse.kafka.last_message import last_message, newest
from lakehouse.kafka.offsets import NO_TOPIC_ID, LastMessage, Origin

AT = datetime(2026, 3, 5, 10, tzinfo=UTC)
MICROSECONDS = 1_772_704_800_000_000


def records(*messages: tuple[int, bytes | None, bytes | None]) -> pa.RecordBatch:
    offsets, keys, values = zip(*messages, strict=True)
    return pa.RecordBatch.from_pydict(
        {
            "offset": pa.array(offsets, pa.int64()),
            "timestamp": pa.array([AT] * len(messages), pa.timestamp("us", tz="UTC")),
            "key": pa.array(keys, pa.binary()),
            "value": pa.array(values, pa.binary()),
        }
    )


def test_a_digest_is_of_key_value_and_timestamp_of_the_last():
    digest = hashlib.blake2b(b"1:k3:abc%d" % MICROSECONDS, digest_size=8).hexdigest()
    assert last_message(records((3, None, b""), (7, b"k", b"abc"))) == LastMessage(7, digest)


@pytest.mark.parametrize("other", [(None, b"ab"), (b"", b"ab"), (b"b", b"a"), (b"ab", None)])
def test_messages_that_differ_have_other_digests(other):
    assert last_message(records((7, b"a", b"b"))) != last_message(records((7, *other)))


def test_the_newest_of_each_partition_is_kept_whatever_came_first():
    early, late = LastMessage(3, "f"), LastMessage(9, "0")
    assert newest([{0: late, 1: early}, {0: early}, {1: late}]) == {0: late, 1: late}


@pytest.mark.parametrize(
    ("other", "may_be"),
    [
        (Origin("c", "t"), True),
        (Origin("c", NO_TOPIC_ID), True),
        (Origin("c", "u"), False),
        (Origin("d", "t"), False),
        (Origin("d", NO_TOPIC_ID), False),
    ],
)
def test_an_id_that_a_broker_does_not_give_tells_nothing(other, may_be):
    assert Origin("c", "t").may_be(other) is may_be
    assert other.may_be(Origin("c", "t")) is may_be
