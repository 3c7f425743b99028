"""Messages on the Kafka of the tests."""

from confluent_kafka import Producer

from lakehouse.settings import Settings

EVENT = (
    '{{"event_id":"{id}","user_id":"u","product_id":"P1","event_type":"view",'
    '"event_timestamp":"2026-03-05T10:00:00Z","event_data":{{}}}}'
)


def produce(settings: Settings, *values: str, topic: str = "user-events", **options) -> None:
    """All acknowledged; options as of Producer.produce, such as key."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value in values:
        producer.produce(topic, value, **options)
    assert producer.flush(10) == 0
