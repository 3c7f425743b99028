"""Events -> both topics of a fresh broker, and what any right result of them holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from bench.events import A_DAY, message, user_events
from generator.faults import spoiled
from generator.messages import Message
from generator.progress import Progress
from generator.publish import Publisher, connect, create_topics
from lakehouse.stack.home import Home

PARTITIONS = 4


@dataclass
class Expected:
    """Counted as it is made: messages and their bytes, good ones and their price * quantity."""

    messages: int = 0
    value_bytes: int = 0
    rows: int = 0
    amount: Decimal = Decimal(0)
    a_day: int = A_DAY

    def counted(self, count: int, bad_share: float) -> Iterator[Message]:
        """The next ones, going on where an earlier call ended."""
        random = Random(count)
        for event in user_events(count, 1, self.messages, self.a_day):
            made, data = message(event), event["event_data"]
            if random.random() < bad_share:
                made = made._replace(value=spoiled(event, random))
            else:
                self.rows += 1
                self.amount += data["price"] * data["quantity"]
            self.messages += 1
            self.value_bytes += len(made.value or b"")
            yield made


def produce(
    home: Home,
    count: int,
    partitions: int = PARTITIONS,
    bad_share: float = 0,
    before: Expected | None = None,
) -> Expected:
    """`before` has what is in the topic already. product-metadata stays empty."""
    servers = home.exports["KAFKA_BOOTSTRAP_SERVERS"]
    admin = connect(servers)
    create_topics(admin, partitions, replicas=1)
    expected = before or Expected()
    publisher = Publisher(servers)
    with Progress(count) as progress:
        publisher.send(expected.counted(count, bad_share), progress)
        publisher.finish()
    return expected
