"""Clients of Kafka: the one place that knows how the brokers are reached."""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from lakehouse.settings import Settings

# Kafka's client would repeat each refused connection on stderr; what lasts, we say.
_QUIET = {"log_level": 0}

log = logging.getLogger("lakehouse.kafka")


def connection_options(settings: Settings) -> dict[str, str]:
    """Return what any client needs to reach the brokers."""
    return {"bootstrap.servers": settings.kafka_bootstrap_servers}


def reader_options(settings: Settings) -> dict[str, str]:
    """Return options for reading messages: those of aborted transactions are left out."""
    return {**connection_options(settings), "isolation.level": "read_committed"}


def source_options(settings: Settings) -> dict[str, str]:
    """Return reader_options for Spark's source, which reads aborted messages by default."""
    return {f"kafka.{name}": value for name, value in reader_options(settings).items()}


def admin_client(options: Mapping[str, str]) -> AdminClient:
    """Make a client for questions about topics, from connection_options or reader_options."""
    connection = {name: value for name, value in options.items() if name != "isolation.level"}
    return AdminClient({**connection, **_QUIET}, logger=log)


def consumer(options: Mapping[str, str], group: str, more: Mapping[str, Any]) -> Consumer:
    """Make a consumer that stores no offset by itself and fails where it would skip messages."""
    return Consumer(
        {
            **options,
            # Kafka's client asks for one, though most consumers commit nothing to it.
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # By default it would go on elsewhere, in silence.
            "auto.offset.reset": "error",
            **_QUIET,
            **more,
        }
    )
