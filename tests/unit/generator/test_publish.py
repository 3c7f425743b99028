"""A broker that is not there -> an error soon, however much there is to send."""

import itertools

import pytest

from generator import publish
from generator.messages import CommandError, Message
from generator.progress import Progress

NOBODY = "127.0.0.1:1"


def test_a_send_stops_at_the_first_failure_instead_of_filling_the_queue_again(monkeypatch):
    monkeypatch.setitem(publish.PRODUCER, "queue.buffering.max.messages", publish.CHUNK)
    endless = itertools.repeat(Message("user-events", None, b"{}"))
    with pytest.raises(CommandError, match="messages were not delivered"):
        publish.Publisher(NOBODY, delivery_seconds=0.3).send(endless, Progress(total=1))


def test_a_message_still_under_way_at_the_end_is_waited_for_and_its_loss_told():
    publisher = publish.Publisher(NOBODY, delivery_seconds=0.3)
    assert publisher.send([Message("user-events", b"U1", None)] * 3, Progress(total=3)) == 3
    with pytest.raises(CommandError, match="3 messages were not delivered"):
        publisher.finish()


def test_a_broker_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(publish, "CONNECT_SECONDS", 0.3)
    with pytest.raises(CommandError, match=r"no Kafka broker answers at 127\.0\.0\.1:1 "):
        publish.connect(NOBODY)
