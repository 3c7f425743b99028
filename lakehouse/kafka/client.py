"""Options of Kafka's clients: where the brokers are."""

from lakehouse.settings import Settings


def client_options(settings: Settings) -> dict[str, str]:
    """For Kafka's own client to read messages: those of aborted transactions are none."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "isolation.level": "read_committed",
    }


def source_options(settings: Settings) -> dict[str, str]:
    """The same for Spark's, whose default is to read the aborted ones too."""
    return {f"kafka.{name}": value for name, value in client_options(settings).items()}
