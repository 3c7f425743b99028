"""What messages must be: one file per topic, from which tables, parser and schemas follow."""

from importlib import import_module
from pkgutil import iter_modules

from lakehouse.contracts import topics
from lakehouse.contracts.columns import HEADERS, KAFKA_COLUMNS
from lakehouse.contracts.contract import Contract, Requirement
from lakehouse.contracts.parse import EVENT_WINDOW_START
from lakehouse.contracts.rejection import RULES, Rejected

__all__ = [
    "CONTRACTS",
    "EVENT_WINDOW_START",
    "HEADERS",
    "KAFKA_COLUMNS",
    "RULES",
    "Contract",
    "Rejected",
    "Requirement",
]

CONTRACTS: tuple[Contract, ...] = tuple(
    import_module(f"{topics.__name__}.{module.name}").CONTRACT
    for module in iter_modules(topics.__path__)
)
