"""Values -> Kafka messages, in the one shape that makers, publisher and readers share."""

from datetime import datetime
from typing import NamedTuple

import msgspec

# Money is Decimal all the way: the digits in the message are the digits of the price.
encode = msgspec.json.Encoder(decimal_format="number").encode


class Message(NamedTuple):
    """A message to send. A null value deletes the key from a compacted topic."""

    topic: str
    key: bytes | None
    value: bytes | None


class Received(NamedTuple):
    """A message as Kafka delivered it."""

    key: bytes | None
    value: bytes | None
    kafka_timestamp: datetime
    partition: int
    offset: int


class CommandError(Exception):
    """A command that cannot go on. The message is one line: the cause, and what to do."""
