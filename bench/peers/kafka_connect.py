"""Kafka -> Iceberg's sink in a standalone worker of Kafka Connect -> one Iceberg table."""

import string
from pathlib import Path

from confluent_kafka.admin import NewTopic

from bench.peers.table import NAME
from bench.place import Place
from generator.publish import connect
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS
from lakehouse.stack.artifacts import folder
from lakehouse.stack.home import CONF

TEMPLATES = Path(__file__).parent / "connect"
# The collector that costs least; nothing here waits for an answer.
JAVA = ("-Xmx2g", "-XX:+UseParallelGC")


def prepare(place: Place) -> None:
    """Files with the names of this run in them, and the topic by which its tasks agree."""
    names = {
        **place.exports,
        "NAME": place.name,
        "TABLE": NAME,
        "TOPIC": USER_EVENTS.topic,
        "CONNECT_OFFSETS": str(place.path / "connect.offsets"),
    }
    for template in TEMPLATES.glob("*.properties"):
        text = string.Template(template.read_text()).substitute(names)
        (place.path / template.name).write_text(text)
    control = f"control-{place.name}"
    admin = connect(place.exports["KAFKA_BOOTSTRAP_SERVERS"])
    admin.create_topics([NewTopic(control, 1, 1)])[control].result(10)


def command(place: Place) -> list[str]:
    """It never ends by itself. Its libraries, Kafka's, and of Spark's those of S3 and catalog."""
    connect, kafka, spark = (folder(name, place.cache) for name in ("connect", "kafka", "spark"))
    shared = [*spark.glob("iceberg-aws-bundle-*.jar"), *spark.glob("sqlite-jdbc-*.jar")]
    return [
        f"{place.exports['JAVA_HOME']}/bin/java",
        *JAVA,
        f"-Dlog4j2.configurationFile={CONF / 'kafka-log4j2.properties'}",
        "-cp",
        ":".join([f"{connect}/*", f"{kafka}/*", *map(str, shared)]),
        "org.apache.kafka.connect.cli.ConnectStandalone",
        str(place.path / "worker.properties"),
        str(place.path / "sink.properties"),
    ]
