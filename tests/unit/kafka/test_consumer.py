"""What Kafka's client gives -> Arrow batches, or an error where it is not what was asked for."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from confluent_kafka import KafkaError
from shop import USER_EVENTS

from lakehouse.kafka import client
from lakehouse.kafka.consumer import consume
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.messages.decode import judge
from lakehouse.retry import TransientError

GOOD = (
    b'{"event_id":"e1","user_id":"u1","product_id":"P1","event_type":"view",'
    b'"event_timestamp":"1970-01-01T00:00:00Z","event_data":{}}'
)
ASKED = [OffsetRange(1, 10, 14)]


@dataclass
class Answer:
    """As confluent_kafka.Message."""

    at: int
    of_partition: int = 1
    of_topic: str = "user-events"
    kind: int | None = None
    are_headers_broken: bool = False

    def topic(self) -> str:
        return self.of_topic

    def partition(self) -> int:
        return self.of_partition

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def key(self) -> bytes:
        return b"u1"

    def value(self) -> bytes:
        return GOOD

    def headers(self) -> list | None:
        if self.are_headers_broken:
            raise SystemError
        return [("name", b"value")]

    def error(self) -> KafkaError | None:
        return None if self.kind is None else KafkaError(self.kind)


class Client:
    """Gives these answers, one list after the other."""

    answers: ClassVar[list[list[Answer]]] = []

    def __init__(self, _options: dict):
        self._left = iter(self.answers)

    def assign(self, _partitions: list) -> None: ...

    def consume(self, _most: int, _seconds: float) -> list[Answer]:
        return next(self._left)

    def close(self) -> None: ...


@pytest.fixture
def offsets(monkeypatch):
    monkeypatch.setattr(client, "Consumer", Client)

    def read(*answers: list[Answer]) -> list[int]:
        monkeypatch.setattr(Client, "answers", answers)
        batches = (batch for _, batch in consume({}, "user-events", ASKED))
        return [offset for batch in batches for offset in batch["offset"].to_pylist()]

    return read


def test_offsets_may_have_gaps_and_go_past_the_end(offsets):
    assert offsets([Answer(10), Answer(12)], [Answer(17)]) == [10, 12]


@pytest.mark.parametrize(
    "stranger",
    [
        Answer(12, of_partition=0),
        Answer(12, of_topic="product-metadata"),
        Answer(10),
        Answer(9),
    ],
)
def test_a_message_that_was_not_asked_for_is_an_error(offsets, stranger):
    for answers in (
        ([Answer(10), Answer(11), stranger, Answer(13)],),
        ([Answer(10), Answer(11)], [stranger, Answer(13)]),
    ):
        with pytest.raises(TransientError, match="Kafka's client gave messages of "):
            offsets(*answers)


def test_the_end_of_another_partition_does_not_end_this_one(offsets):
    end_of_other = Answer(99, of_partition=0, kind=KafkaError._PARTITION_EOF)
    end = Answer(14, kind=KafkaError._PARTITION_EOF)
    assert offsets([end_of_other], [Answer(10), Answer(11)], [end]) == [10, 11]
    assert offsets([end_of_other, Answer(10), Answer(11), end]) == [10, 11]


@pytest.mark.parametrize("broken", [{11}, {10, 11, 12, 13}])
def test_a_message_whose_headers_raise_an_error_is_a_dead_letter_beside_the_others(
    monkeypatch, broken
):
    answers = [Answer(at, are_headers_broken=at in broken) for at in range(10, 14)]
    monkeypatch.setattr(client, "Consumer", Client)
    monkeypatch.setattr(Client, "answers", [answers])
    ((_, records),) = consume({}, "user-events", ASKED)
    names = [header["key"] for (header,) in records["headers"].to_pylist()]
    assert names == [None if at in broken else "name" for at in range(10, 14)]
    letters, staged = {}, []
    for indices, columns, verdicts in judge(USER_EVENTS, records):
        found = [records["offset"][int(index)].as_py() for index in indices]
        if columns is None:
            texts = zip(*(each.to_pylist() for each in verdicts), strict=True)
            letters |= dict(zip(found, texts, strict=True))
        else:
            staged += found
    expected = "HEADERS_UNREADABLE", "headers: must be readable by Kafka's client"
    assert letters == dict.fromkeys(broken, expected)
    assert set(staged) == set(range(10, 14)) - broken


def test_what_is_strict_is_strict_again_after_headers_were_read(offsets):
    offsets([Answer(at) for at in range(10, 14)])
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode()
