"""Tell Kafka how far the ingest has come, for tools that show a consumer group's lag."""

import logging

from confluent_kafka import KafkaException, TopicPartition

from lakehouse.kafka import client
from lakehouse.kafka.generations import in_kafka
from lakehouse.kafka.offsets import Frontier
from lakehouse.settings import Settings

log = logging.getLogger("lakehouse.kafka")


def publish_frontier(settings: Settings, topic: str, frontier: Frontier) -> None:
    """Commit offsets for CONSUMER_GROUP, so that lag tools show the ingest. Never read back."""
    consumer = client.consumer(client.connection_options(settings), settings.consumer_group, {})
    offsets = [TopicPartition(topic, in_kafka(p), end) for p, end in frontier.items()]
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        log.warning(
            "consumer group not updated; lag tools are behind, the tables are not",
            extra={"topic": topic, "cause": error.args[0].str()},
        )
    finally:
        consumer.close()
