"""Contracts that differ from ours in what follows from their declaration."""

from dataclasses import replace
from typing import Any

from lakehouse.contracts import Contract


def altered(contract: Contract, derived: dict[str, Any], **declared: Any) -> Contract:
    """Change what is declared, and then what would be derived: columns, parse, accept."""
    changed = replace(contract, **declared)
    vars(changed).update(derived)
    return changed
