"""An engine on an empty place -> what one run costs and leaves, or why it failed."""

import shutil
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.account import Cost, Job
from bench.engines import Engine
from bench.place import Contents, Place, contents
from bench.produce import Expected
from lakehouse.stack.home import REPOSITORY

# What the slowest engine needs on a busy machine, and twice that.
START_SECONDS, EVENTS_PER_SECOND = 300, 3_000
RESULTS = REPOSITORY / "bench" / "results"


@dataclass(frozen=True)
class Run:
    """One engine in one round. A failed run has a reason, and no figure is made of it."""

    engine: str
    round: int
    failure: str | None = None
    cost: Cost | None = None
    rows: int = 0
    events: int = 0
    tables: dict[str, Contents] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """Files, snapshots and bytes are those of all tables that the engine wrote."""
        if self.failure or not self.cost:
            return {}
        written = self.tables.values()
        return {
            "events": self.events,
            "cpu_seconds": self.cost.cpu_seconds,
            "wall_seconds": self.cost.wall_seconds,
            "events_per_cpu_second": self.events / self.cost.cpu_seconds,
            "peak_rss_bytes": self.cost.peak_rss_bytes,
            "rows": self.rows,
            "files": sum(each.files for each in written),
            "snapshots": sum(each.snapshots for each in written),
            "bytes": sum(each.bytes for each in written),
        }

    def as_dict(self) -> dict[str, Any]:
        known = {"engine": self.engine, "round": self.round}
        if self.failure:
            return known | {"failure": self.failure}
        tables = {name: asdict(each) for name, each in self.tables.items()}
        return known | self.figures | {"tables": tables}


def measure(
    engine: Engine, place: Place, expected: Expected, round_: int = 0, messages_before: int = 0
) -> Run:
    """Run an engine on all of `expected` but `messages_before`, and check that all is there."""
    engine.prepare(place)
    messages = expected.messages - messages_before
    log = place.path / "logs" / f"{engine.name}.log"
    job = Job(engine.command(place), REPOSITORY, place.environment, log)
    is_full = engine.is_endless and (lambda: place.rows(engine.table) >= expected.rows)
    cost = job.finish(START_SECONDS + messages / EVENTS_PER_SECOND, is_full or None)
    if cost.exit_code not in engine.exit_codes:
        RESULTS.mkdir(exist_ok=True)
        kept = shutil.copy(log, RESULTS)
        return Run(engine.name, round_, f"exit code {cost.exit_code}; its log is {kept}")
    if problems := engine.problems(place, expected):
        return Run(engine.name, round_, "; ".join(problems))
    held = {name: contents(place.table(name)) for name in place.tables()}
    return Run(engine.name, round_, None, cost, held[engine.table].rows, messages, held)
