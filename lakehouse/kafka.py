"""The broker: which topics it has, and which of their offsets."""

import logging

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec, TopicMetadata

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings

TIMEOUT_SECONDS = 10

log = logging.getLogger("lakehouse.kafka")


def existing_topics(settings: Settings) -> dict[str, TopicMetadata]:
    """Fail early, and in one line, where Spark would retry for minutes."""
    servers = settings.kafka_bootstrap_servers
    try:
        return _admin(settings).list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise LakehouseError(
            f"No Kafka broker answers at {servers} ({error.args[0].str()})",
            "Start the local stack with `make up` or correct KAFKA_BOOTSTRAP_SERVERS",
        ) from None


def held_offsets(settings: Settings, topic: str) -> dict[int, range]:
    """Partition -> from its low watermark to its end; nothing for a topic that is not there."""
    metadata = existing_topics(settings).get(topic)
    if not metadata:
        return {}
    partitions = [TopicPartition(topic, number) for number in metadata.partitions]
    admin = _admin(settings)
    lows, ends = (
        admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=TIMEOUT_SECONDS)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
    )
    return {
        each.partition: range(lows[each].result().offset, ends[each].result().offset)
        for each in partitions
    }


def _admin(settings: Settings) -> AdminClient:
    servers = settings.kafka_bootstrap_servers
    return AdminClient({"bootstrap.servers": servers, "log_level": 0}, logger=log)
