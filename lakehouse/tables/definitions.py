"""Contracts -> the definitions of raw.*, staging.stg_* and ops.*."""

import pyarrow as pa

from lakehouse.contracts import CONTRACTS, HEADERS, KAFKA_COLUMNS, Contract
from lakehouse.iceberg.table import Table

_MESSAGE = [
    pa.field("topic", pa.string()),
    pa.field("partition", pa.int32()),
    pa.field("offset", pa.int64()),
    pa.field("kafka_timestamp", pa.timestamp("us", tz="UTC")),
]


def _raw(contract: Contract) -> Table:
    return Table(
        name=f"raw.{contract.stem}",
        comment=f"One row per message of {contract.topic}, byte for byte",
        columns=[
            *_MESSAGE,
            pa.field("timestamp_type", pa.int32()),
            pa.field("key", pa.binary()),
            pa.field("value", pa.binary()),
            pa.field("headers", HEADERS),
        ],
        partitioned_by=("days(kafka_timestamp)",),
        raw_topic=contract.topic,
    )


def _staging(contract: Contract) -> Table:
    return Table(
        name=f"staging.stg_{contract.stem}",
        comment=f"One row per accepted message of {contract.topic}",
        columns=contract.columns + KAFKA_COLUMNS,
        partitioned_by=contract.partitioned_by,
    )


_RAW = {contract.topic: _raw(contract) for contract in CONTRACTS}
_STAGING = {contract.topic: _staging(contract) for contract in CONTRACTS}
DEAD_LETTERS = Table(
    name="ops.dead_letters",
    comment="One row per message that broke its contract, whole and with the reason",
    columns=[
        *_MESSAGE,
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("value_bytes", pa.int32()),
        pa.field("value_sha256", pa.string()),
        pa.field("headers", HEADERS),
        pa.field("error_class", pa.string()),
        pa.field("error_detail", pa.string()),
        pa.field("contract_version", pa.int32()),
        pa.field("attempt", pa.int32()),
        pa.field("replayed_at", pa.timestamp("us", tz="UTC")),
        pa.field("outcome", pa.string()),
        pa.field("reason", pa.string()),
    ],
    partitioned_by=("days(kafka_timestamp)",),
)
DUPLICATES = Table(
    name="ops.duplicates",
    comment="One row per message that repeats one which was staged before",
    columns=[
        *_MESSAGE,
        pa.field("event_id", pa.string()),
        pa.field("first_partition", pa.int32()),
        pa.field("first_offset", pa.int64()),
    ],
    partitioned_by=("days(kafka_timestamp)",),
)
ACCEPTED_GAPS = Table(
    name="ops.accepted_gaps",
    comment="One row per range of offsets that Kafka lost before they were taken in",
    columns=[
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("start_offset", pa.int64()),
        pa.field("end_offset", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("accepted_at", pa.timestamp("us", tz="UTC")),
    ],
    partitioned_by=(),
)
ACCEPTED_TOPICS = Table(
    name="ops.accepted_topics",
    comment="One row per topic that took the place of another of its name",
    columns=[
        pa.field("topic", pa.string()),
        pa.field("generation", pa.int32()),
        pa.field("cluster_id", pa.string()),
        pa.field("topic_id", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("accepted_at", pa.timestamp("us", tz="UTC")),
    ],
    partitioned_by=(),
)
AUDITS = Table(
    name="ops.audits",
    comment="One row per partition of a topic and range of offsets that an audit proved",
    columns=[
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("start_offset", pa.int64()),
        pa.field("end_offset", pa.int64()),
        pa.field("raw", pa.int64()),
        pa.field("staged", pa.int64()),
        pa.field("dead", pa.int64()),
        pa.field("duplicate", pa.int64()),
        pa.field("audited_at", pa.timestamp("us", tz="UTC")),
        # Of the tables, those that the audit looked at; what others change later is looked at.
        pa.field("raw_snapshot", pa.int64()),
        pa.field("staged_snapshot", pa.int64()),
        pa.field("dead_snapshot", pa.int64()),
        pa.field("duplicate_snapshot", pa.int64()),
    ],
    partitioned_by=(),
)
TABLES = (
    *_RAW.values(),
    *_STAGING.values(),
    DEAD_LETTERS,
    DUPLICATES,
    ACCEPTED_GAPS,
    ACCEPTED_TOPICS,
    AUDITS,
)


def raw_table(contract: Contract) -> Table:
    """Return the raw table, which gets every message of a topic."""
    return _RAW[contract.topic]


def staging_table(contract: Contract) -> Table:
    """Return the staging table, which gets the accepted messages of a topic."""
    return _STAGING[contract.topic]


def tables_of(contract: Contract) -> tuple[Table, ...]:
    """Return the tables of a topic in the order of commits: raw, staging, then the others."""
    others = (DUPLICATES,) if contract.repeats_by else ()
    return raw_table(contract), staging_table(contract), *others, DEAD_LETTERS
