"""Counts -> a bar on a terminal, a plain line every few seconds elsewhere; both on stderr."""

import time
from types import TracebackType

from rich import progress
from rich.console import Console

SECONDS_BETWEEN_LINES = 5


class Progress:
    """How far a command has come, as a context manager."""

    def __init__(self, total: int, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._total = total
        self._done = 0
        self._started = self._last_line = time.monotonic()
        self._bar = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("messages"),
            progress.TextColumn("{task.fields[rate]:,.0f}/s"),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, rate=0.0)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, messages: int) -> None:
        now = time.monotonic()
        self._done += messages
        rate = self._done / max(now - self._started, 0.001)
        if self._console.is_terminal:
            self._bar.update(self._task, advance=messages, rate=rate)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            line = f"{self._done:,} of {self._total:,} messages, {rate:,.0f}/s"
            self._console.print(line, highlight=False)
