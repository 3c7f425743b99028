"""What messages must be: one file per topic, from which tables, parser and schemas follow."""

from lakehouse.contracts.columns import HEADERS, KAFKA_COLUMNS
from lakehouse.contracts.contract import Contract, Requirement
from lakehouse.contracts.parse import EVENT_WINDOW_START
from lakehouse.contracts.product_metadata import CONTRACT as PRODUCT_METADATA
from lakehouse.contracts.rejection import RULES, Rejected
from lakehouse.contracts.user_events import CONTRACT as USER_EVENTS

__all__ = [
    "CONTRACTS",
    "EVENT_WINDOW_START",
    "HEADERS",
    "KAFKA_COLUMNS",
    "PRODUCT_METADATA",
    "RULES",
    "USER_EVENTS",
    "Contract",
    "Rejected",
    "Requirement",
]

CONTRACTS = (USER_EVENTS, PRODUCT_METADATA)
