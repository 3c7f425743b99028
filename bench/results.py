"""Runs -> a table on the terminal, bench/results/NAME.json and its chart."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.account import own_cgroup
from bench.chart import Bar, page
from bench.measure import RESULTS, Run

RATE = "events_per_cpu_second"
HEADINGS = (
    *("per CPU-s", "min..max", "CPU s", "wall s", "RSS MB"),
    *("files", "snaps", "MB", "rows", "ratio"),
)
PACKAGES = ("pyspark", "pyiceberg", "pyarrow", "confluent-kafka", "msgspec")


def machine() -> dict[str, Any]:
    """What the numbers depend on; a load of others shows in the first of the load averages."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "load_average": psutil.getloadavg(),
        "cpu_from": "control group" if own_cgroup() else "samples",
    }


def summarized(runs: Sequence[Run], ours: str) -> list[dict[str, Any]]:
    """One object for each engine: medians of its rounds, and the spread of the rate.

    An engine of which one run failed has no figures: its others prove nothing.
    """
    names = dict.fromkeys(run.engine for run in runs)
    engines = [_summary(name, [run for run in runs if run.engine == name]) for name in names]
    rates = {each["name"]: each[RATE] for each in engines if RATE in each}
    for each in engines:
        if ours in rates and each["name"] in rates and each["name"] != ours:
            each["ingest_ratio"] = rates[ours] / rates[each["name"]]
    return engines


def _summary(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    if failures := [run.failure for run in runs if run.failure]:
        return {"name": name, "rounds": len(runs), "failures": failures}
    figures = [run.figures for run in runs]
    medians = {key: median(each[key] for each in figures) for key in figures[0]}
    spread = {f"{end.__name__}_{RATE}": end(each[RATE] for each in figures) for end in (min, max)}
    return {"name": name, "rounds": len(runs)} | medians | spread


def table(engines: Sequence[dict[str, Any]]) -> Table:
    shown = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption="medians",
        caption_justify="left",
    )
    shown.add_column("engine", no_wrap=True)
    for heading in HEADINGS:
        shown.add_column(heading, justify="right", no_wrap=True)
    for each in engines:
        figures = ["failed"] if "failures" in each else _shown(each)
        shown.add_row(each["name"], *figures)
    return shown


def _shown(each: dict[str, Any]) -> list[str]:
    ratio = each.get("ingest_ratio")
    return [
        f"{each[RATE]:,.0f}",
        f"{each[f'min_{RATE}'] / 1e3:.1f}..{each[f'max_{RATE}'] / 1e3:.1f}k",
        f"{each['cpu_seconds']:.1f}",
        f"{each['wall_seconds']:.1f}",
        f"{each['peak_rss_bytes'] / 1e6:,.0f}",
        f"{each['files']:,.0f}",
        f"{each['snapshots']:,.0f}",
        f"{each['bytes'] / 1e6:,.0f}",
        f"{each['rows']:,.0f}",
        f"{ratio:.2f}" if ratio else "",
    ]


def line(run: Run) -> str:
    if run.failure:
        return f"{run.engine}, round {run.round}: failed: {run.failure}"
    figures = run.figures
    return (
        f"{run.engine}, round {run.round}: {figures[RATE]:,.0f} events per CPU-second, "
        f"{figures['cpu_seconds']:.1f} CPU-s, {figures['wall_seconds']:.1f} s"
    )


def chart(engines: Sequence[dict[str, Any]], ours: str) -> str:
    measured = sorted((each for each in engines if RATE in each), key=lambda each: -each[RATE])
    events = max((each["events"] for each in measured), default=0)
    bars = [
        Bar(
            name=each["name"],
            middle=each[RATE],
            low=each[f"min_{RATE}"],
            high=each[f"max_{RATE}"],
            is_ours=each["name"] == ours,
        )
        for each in measured
    ]
    return page([(f"Events per CPU-second: {events:,.0f} events, start-up included", bars)])


def save(name: str, found: dict[str, Any], drawn: str) -> Path:
    """bench/results/NAME.json with when and where it was measured, and NAME.svg beside it."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    at = datetime.now(UTC).isoformat(timespec="seconds")
    path.write_text(json.dumps({"measured_at": at, **found}, indent=2) + "\n")
    path.with_suffix(".svg").write_text(drawn)
    return path
