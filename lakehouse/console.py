"""The command line of all jobs: how options are read, and tables are printed, for people."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


def command_line(description: str | None = None) -> typer.Typer:
    """Return an app that one or several functions are the commands of."""
    return typer.Typer(
        help=as_help(description),
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def as_help(description: str | None) -> str:
    """Return a text for --help whose lines stay as they are."""
    return "\b\n" + (description or "").strip().replace("\n\n", "\n\n\b\n")


def option_of(parse: Callable[[str], Any], shape: str, *names: str, help: str | None = None) -> Any:
    """Return an option whose text looks like `shape`; `parse` raises ValueError if it does not."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not {shape}") from None

    return typer.Option(*names, parser=parsed, metavar=shape, help=help)


def choice_of(values: Iterable[str], *names: str, metavar: str = "") -> Any:
    """Return an option that takes one of these texts."""
    listed = [*values]

    def chosen(text: str) -> str:
        if text not in listed:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(listed)}")
        return text

    return typer.Option(*names, parser=chosen, metavar=metavar or f"[{'|'.join(listed)}]")


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
