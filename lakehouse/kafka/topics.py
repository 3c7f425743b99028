"""Ask Kafka about topics: their ids, partitions, offsets and settings."""

import logging
from dataclasses import dataclass, replace

from confluent_kafka import (
    IsolationLevel,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from lakehouse.errors import LakehouseError
from lakehouse.kafka.client import admin_client, connection_options
from lakehouse.kafka.generations import in_kafka, recorded
from lakehouse.kafka.offsets import Frontier, Origin
from lakehouse.retry import TransientError
from lakehouse.settings import Settings

TIMEOUT_SECONDS = 10

log = logging.getLogger("lakehouse.kafka")


@dataclass(frozen=True)
class Topic:
    """A topic as its cluster holds it now."""

    name: str
    origin: Origin
    # Partition -> its first offset, and the one that its next message will get.
    earliest: Frontier
    latest: Frontier
    generation: int = 0

    def of_generation(self, generation: int) -> "Topic":
        """The same, with its partitions as the tables number them."""

        def renumbered(offsets: Frontier) -> Frontier:
            return {recorded(in_kafka(p), generation): offset for p, offset in offsets.items()}

        return replace(
            self,
            earliest=renumbered(self.earliest),
            latest=renumbered(self.latest),
            generation=generation,
        )


def read_topics(settings: Settings, names: list[str]) -> list[Topic]:
    """Describe topics, with Kafka's own partition numbers.

    LakehouseError where the broker or a topic is missing; Spark would retry for minutes.
    """
    servers = settings.kafka_bootstrap_servers
    admin = admin_client(connection_options(settings))
    try:
        existing = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        missing = [name for name in names if name not in existing]
        if missing:
            raise LakehouseError(
                f"The broker at {servers} has no topic {' and no topic '.join(missing)}",
                "Create them, for example with `python -m generator --events 1000`",
            )
        cluster_id = admin.describe_cluster(request_timeout=TIMEOUT_SECONDS).result().cluster_id
        described = admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_SECONDS)
        return [
            Topic(
                name,
                Origin(cluster_id, str(described[name].result().topic_id)),
                offsets_of(admin, name, list(existing[name].partitions), OffsetSpec.earliest()),
                offsets_of(admin, name, list(existing[name].partitions), OffsetSpec.latest()),
            )
            for name in names
        ]
    except KafkaException as error:
        raise TransientError(
            f"No Kafka broker answers at {servers} ({error.args[0].str()})",
            "Start the local stack with `make up` or correct KAFKA_BOOTSTRAP_SERVERS",
        ) from None


def offsets_of(
    admin: AdminClient,
    topic: str,
    partitions: list[int],
    spec: OffsetSpec,
    level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
) -> Frontier:
    """Partition -> the offset asked for."""
    asked = {TopicPartition(topic, partition): spec for partition in partitions}
    answers = admin.list_offsets(asked, isolation_level=level, request_timeout=TIMEOUT_SECONDS)
    return {asked.partition: answer.result().offset for asked, answer in answers.items()}


def is_compacted(kafka: dict[str, str], topic: str) -> bool:
    """Whether compaction may remove messages; False if Kafka does not say, for want of a right."""
    admin = admin_client(kafka)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    asked = admin.describe_configs([resource], request_timeout=TIMEOUT_SECONDS)
    try:
        return "compact" in asked[resource].result()["cleanup.policy"].value
    except KafkaException:
        return False
