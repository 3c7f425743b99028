"""Messages that no ingest reads yet: they come after the first one of an open transaction."""

import logging
from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import IsolationLevel, KafkaException
from confluent_kafka.admin import OffsetSpec

from lakehouse.errors import LakehouseError
from lakehouse.kafka.client import admin_client, connection_options
from lakehouse.kafka.consumer import peek
from lakehouse.kafka.topics import TIMEOUT_SECONDS, offsets_of
from lakehouse.settings import Settings

log = logging.getLogger("lakehouse.kafka")


class Waiting(NamedTuple):
    """Offsets of a partition that wait for the end of a transaction."""

    topic: str
    partition: int
    offsets: int
    # The timestamp of the transaction's first message; None if it has just ended.
    since: datetime | None

    def __str__(self) -> str:
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return (
            f"{self.topic}/{self.partition}: {self.offsets:,} offsets wait behind a transaction"
            f" that is open{since}"
        )


def find_waiting(settings: Settings, topic: str) -> list[Waiting]:
    """The partitions whose last stable offset is behind their end. A failure is a warning alone."""
    admin = admin_client(connection_options(settings))
    try:
        partitions = list(
            admin.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic].partitions
        )
        stable, ends = (
            offsets_of(admin, topic, partitions, OffsetSpec.latest(), level)
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        behind = {p: offset for p, offset in stable.items() if offset < ends[p]}
        options = connection_options(settings) | {"isolation.level": "read_uncommitted"}
        first = peek(options, topic, behind) if behind else {}
    except (KafkaException, LakehouseError) as error:
        log.warning("open transactions not looked for", extra={"topic": topic, "cause": str(error)})
        return []
    found = []
    for partition, offset in sorted(behind.items()):
        since = first[partition]["timestamp"][0].as_py() if partition in first else None
        since = since and since.astimezone(UTC)
        found.append(Waiting(topic, partition, ends[partition] - offset, since))
        log.warning("an open transaction holds messages back", extra=found[-1]._asdict())
    return found
