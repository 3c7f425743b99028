"""The table of contract_matrix, through Kafka, Spark and Iceberg, as Trino shows it."""

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from contract_matrix import CASES, NOW, Case

from lakehouse.contracts import CONTRACTS
from lakehouse.ingest.run import ingest
from lakehouse.tables.definitions import raw_table, staging_table

LARGEST = 32 * 2**20
# A compacted topic takes no message without a key.
SENT = [case for case in CASES if case.topic == "user-events" or case.key is not None]
Position = tuple[str, int, int]


@pytest.fixture(scope="module")
def sent(spark, settings, topics) -> dict[Position, Case]:
    """All cases produced and ingested, by where Kafka put them."""
    for contract in CONTRACTS:
        # The cases are older than Kafka keeps messages, and one is larger than it takes.
        entries = [
            ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
            for name, value in (("retention.ms", -1), ("max.message.bytes", LARGEST))
        ]
        resource = ConfigResource(ResourceType.TOPIC, contract.topic, incremental_configs=entries)
        topics.incremental_alter_configs([resource])[resource].result()

    positions: dict[Position, Case] = {}
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "message.max.bytes": LARGEST,
        }
    )
    for case in SENT:

        def delivered(error: KafkaError | None, message: Message, case: Case = case) -> None:
            assert error is None, case.name
            positions[message.topic(), message.partition(), message.offset()] = case

        producer.produce(
            case.topic,
            case.value,
            case.key,
            timestamp=int(NOW.timestamp() * 1000),
            on_delivery=delivered,
        )
    assert producer.flush(60) == 0
    ingest(spark, settings)
    return positions


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.topic)
def test_each_case_is_in_raw_with_its_bytes(sent, query, contract):
    rows = query(
        f"SELECT topic, partition, offset, key, value FROM {raw_table(contract).name} "
        f"WHERE kafka_timestamp = TIMESTAMP '{NOW:%Y-%m-%d %H:%M:%S} UTC'"
    )
    expected = [
        [*position, case.key, case.value]
        for position, case in sent.items()
        if case.topic == contract.topic
    ]
    assert sorted(rows, key=lambda row: row[:3]) == sorted(expected, key=lambda row: row[:3])


def test_each_refused_case_is_a_dead_letter_with_its_class_field_and_bytes(sent, query):
    letters = query(
        "SELECT topic, partition, offset, error_class, split_part(error_detail, ':', 1), value "
        f"FROM ops.dead_letters WHERE kafka_timestamp = TIMESTAMP '{NOW:%Y-%m-%d %H:%M:%S} UTC'"
    )
    found = {tuple(letter[:3]): (*letter[3:5], letter[5]) for letter in letters}
    assert len(found) == len(letters)
    expected = {
        position: (*case.error, case.value) for position, case in sent.items() if case.error
    }
    assert found.keys() == expected.keys()
    for position, (error_class, field, value) in expected.items():
        if sent[position].is_large and len(value) > 10 * 2**20:
            value = value[:1024]
        assert found[position] == (error_class, field, value), sent[position].name


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.topic)
def test_each_accepted_case_is_a_row_with_its_values(sent, query, contract):
    columns = [field.name for field in contract.columns]
    rows = query(
        f"SELECT kafka_partition, kafka_offset, {', '.join(columns)} "
        f"FROM {staging_table(contract).name} "
        f"WHERE kafka_timestamp = TIMESTAMP '{NOW:%Y-%m-%d %H:%M:%S} UTC'"
    )
    found = {
        (contract.topic, row[0], row[1]): dict(zip(columns, row[2:], strict=True)) for row in rows
    }
    assert len(found) == len(rows)
    expected = {
        position: case
        for position, case in sent.items()
        if case.row is not None and case.topic == contract.topic
    }
    assert found.keys() == expected.keys()
    for position, case in expected.items():
        assert {name: found[position][name] for name in case.row} == case.row, case.name
