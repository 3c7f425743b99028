"""Rows -> a table on stdout, for people."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Numbers to the right; never wrapped, so that a line stays one row for grep."""
    table = Table(*columns, box=SIMPLE)
    for row in rows:
        table.add_row(*map(_cell, row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def _cell(value: Any) -> Text:
    if isinstance(value, int):
        return Text(f"{value:,}", justify="right")
    return Text("" if value is None else str(value))
