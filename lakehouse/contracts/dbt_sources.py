"""Contracts -> dbt/models/staging/sources.yml: what dbt and its readers know of our tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from lakehouse.contracts import CONTRACTS, Contract

FILE = Path(__file__).parents[2] / "dbt/models/staging/sources.yml"

_RAW = {
    "topic": "Topic of the message.",
    "partition": "Partition of the message.",
    "offset": "Offset of the message in its partition.",
    "kafka_timestamp": "When Kafka took the message, UTC.",
    "timestamp_type": "0 if the producer set the timestamp, 1 if the broker did.",
    "key": "Key of the message, byte for byte.",
    "value": "Value of the message, byte for byte.",
    "headers": "Headers of the message, in order.",
}
_STAGED = {f"kafka_{name}": _RAW[name] for name in ("partition", "offset")} | {
    "kafka_timestamp": _RAW["kafka_timestamp"]
}


def dbt_sources(contracts: Iterable[Contract] = CONTRACTS) -> str:
    """Return the file's text: a source for raw and one for staging, with a table for each topic."""
    contracts = list(contracts)
    raw = {
        "name": "raw",
        "description": "Every message as Kafka delivered it. The source of a replay.",
        "tables": [_raw(contract) for contract in contracts],
    }
    staging = {
        "name": "staging",
        "description": "Messages that kept their contract, typed, as the ingest job wrote them.",
        "config": {"loaded_at_query": "{{ newest_message(this) }}"},
        "tables": [_staging(contract) for contract in contracts],
    }
    text = yaml.safe_dump({"sources": [raw, staging]}, sort_keys=False, width=100)
    return f"# Written by `python -m lakehouse.contracts` from lakehouse/contracts/topics.\n{text}"


def _raw(contract: Contract) -> dict[str, Any]:
    return {
        "name": contract.stem,
        "description": (
            f"One row per message of the topic {contract.topic}, byte for byte, whatever it holds."
        ),
        "columns": [{"name": name, "description": text} for name, text in _RAW.items()],
    }


def _staging(contract: Contract) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": f"stg_{contract.stem}",
        "description": f"{contract.description} From the topic {contract.topic}.",
    }
    # How macros of dbt find the topic's bookmark and the day of a row.
    table["config"] = {"meta": {"topic": contract.topic, "time": contract.time}}
    if contract.silent_days:
        table["config"]["freshness"] = {
            "warn_after": {"count": contract.silent_days, "period": "day"},
            "error_after": {"count": 2 * contract.silent_days, "period": "day"},
        }
    # A compacted topic is small; of others a model tests the new days alone.
    if contract.compacted:
        grain = {"combination_of_columns": ["kafka_partition", "kafka_offset"]}
        never_null = " and ".join(
            f"{column} is not null" for column in (contract.key, contract.time, "is_deleted")
        )
        table["data_tests"] = [
            {"unique_combination_of_columns": {"arguments": grain}},
            {"expression_is_true": {"arguments": {"expression": never_null}}},
        ]
    described = contract.descriptions | _STAGED
    table["columns"] = [
        {"name": name, "description": described[name]}
        | ({"config": {"meta": {"personal": True}}} if name in contract.personal else {})
        for name in described
    ]
    return table
