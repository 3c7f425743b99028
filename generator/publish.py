"""Messages <-> Kafka: the only module that talks to the broker."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, NewTopic

from generator.messages import CommandError, Message, Received
from generator.progress import Progress
from lakehouse.contracts import CONTRACTS, Contract

CONNECT_SECONDS = 8
SILENCE_SECONDS = 30
# A broker's restart fits in; a broker that is gone does not hold the command for long.
DELIVERY_SECONDS = 30
CHUNK = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# librdkafka repeats a refused connection on stderr each second; we say it once, with what to do.
QUIET = {"log_level": 2}
PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "zstd",
    "linger.ms": 30,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 200_000,
    # Java's default, so that keys land where a Java producer would put them.
    "partitioner": "murmur2_random",
    "delivery.report.only.error": True,
}


def connect(bootstrap_servers: str) -> AdminClient:
    """A client whose broker has answered."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **QUIET})
    try:
        admin.list_topics(timeout=CONNECT_SECONDS)
    except KafkaException as error:
        raise CommandError(
            f"no Kafka broker answers at {bootstrap_servers} ({_reason(error)}); "
            "start one or correct --bootstrap-servers"
        ) from None
    return admin


def create_topics(admin: AdminClient, partitions: int, replicas: int) -> None:
    """Both topics, unless they exist; an existing one keeps its partitions and settings."""
    wanted = [NewTopic(c.topic, partitions, replicas, config=_config(c)) for c in CONTRACTS]
    for topic, created in admin.create_topics(wanted).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise CommandError(
                    f"topic {topic} cannot be created: {_reason(error)}; "
                    "correct --partitions or --replication-factor, or create the topic yourself"
                ) from None


def _config(contract: Contract) -> dict[str, str]:
    if contract.compacted:
        # An hour in which ingest sees every state, and not only the last.
        return {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"}
    return {"cleanup.policy": "delete", "retention.ms": str(7 * 86_400_000)}


class Publisher:
    """Sends messages, and stops when Kafka does not take one."""

    def __init__(self, bootstrap_servers: str, delivery_seconds: float = DELIVERY_SECONDS):
        options = {**QUIET, **PRODUCER, "delivery.timeout.ms": int(delivery_seconds * 1000)}
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, **options})
        self._failures = 0
        self._first_failure = ""

    def send(self, messages: Iterable[Message], progress: Progress, rate: float = 0) -> int:
        """Send all messages, at most `rate` a second unless that is 0; return their number."""
        started = time.monotonic()
        chunk_size = max(1, min(CHUNK, int(rate / 10))) if rate else CHUNK
        made = 0
        messages = iter(messages)
        while chunk := list(islice(messages, chunk_size)):
            for message in chunk:
                self._produce(message)
            made += len(chunk)
            progress.advance(len(chunk))
            self._producer.poll(0)
            self._stop_on_failure()
            while rate and (left := started + made / rate - time.monotonic()) > 0:
                self._producer.poll(left)
        return made

    def finish(self) -> None:
        """Waits until Kafka has acknowledged each message; delivery.timeout.ms bounds it."""
        self._producer.flush()
        self._stop_on_failure()

    def _stop_on_failure(self) -> None:
        """Without a stop, each queue full of messages would wait for its own timeout."""
        if self._failures:
            self._producer.purge()
            self._producer.flush()
            raise CommandError(
                f"{self._failures} messages were not delivered ({self._first_failure}); "
                "see the broker's log, then run the same command again"
            )

    def _produce(self, message: Message) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic, message.value, message.key, on_delivery=self._failed
                )
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise CommandError(f"Kafka refuses a message: {_reason(error)}") from None

    def _failed(self, error: KafkaError | None, _message: KafkaMessage) -> None:
        self._failures += 1
        self._first_failure = self._first_failure or str(error)


def received(bootstrap_servers: str, topic: str) -> Iterator[Received]:
    """Read the messages that a topic holds now; later ones are left out."""
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": "generator-expect",  # required, though nothing is committed to it
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # The end offset itself may never be delivered: compaction leaves gaps.
        "enable.partition.eof": True,
        # The default waits a second whenever the reader is behind.
        "fetch.queue.backoff.ms": 10,
        **QUIET,
    }
    consumer = Consumer(config)
    try:
        ends = _end_offsets(consumer, topic)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in ends])
        heard = time.monotonic()
        while ends:
            if batch := consumer.consume(10_000, timeout=0.5):
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS:
                raise CommandError(f"topic {topic}: the broker fell silent; see its log")
            yield from _known(batch, ends)
    except KafkaException as error:
        raise CommandError(
            f"topic {topic} cannot be read ({_reason(error)}); produce or load messages first"
        ) from None
    finally:
        consumer.close()


def _known(batch: list[KafkaMessage], ends: dict[int, int]) -> Iterator[Received]:
    """The messages that were there at the start; takes finished partitions off `ends`."""
    for message in batch:
        partition, offset = cast(int, message.partition()), cast(int, message.offset())
        end = ends.get(partition, 0)
        if error := message.error():
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
        elif offset < end:
            at = EPOCH + timedelta(milliseconds=message.timestamp()[1])
            yield Received(message.key(), message.value(), at, partition, offset)
        if message.error() or offset >= end - 1:
            ends.pop(partition, None)


def _end_offsets(consumer: Consumer, topic: str) -> dict[int, int]:
    metadata = consumer.list_topics(topic, timeout=CONNECT_SECONDS).topics[topic]
    if metadata.error:
        raise KafkaException(metadata.error)
    ends = {}
    for partition in metadata.partitions:
        low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=CONNECT_SECONDS
        )
        if high > low:
            ends[partition] = high
    return ends


def _reason(error: KafkaException) -> str:
    return str(error.args[0].str()).rstrip(".")
