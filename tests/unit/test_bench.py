"""The parts of the benchmark that need no services."""

import json
import sys
import xml.etree.ElementTree as ET
from decimal import Decimal
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from bench import account, chart, engines, place, results
from bench.account import Cost
from bench.chart import Bar
from bench.measure import Run
from bench.place import Contents
from bench.produce import Expected

# A parent that waits for nobody, its child, and a grandchild that outlives both; each computes for
# 0.3 s, and rests long enough to be seen.
FAMILY = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for generation in range(2):
    if os.fork():
        break
    os.setsid()
else:
    generation = 2
started = time.process_time()
while time.process_time() - started < 0.3:
    pass
time.sleep(0.5 + 0.2 * generation)
"""


@pytest.mark.parametrize("has_group", [True, False])
def test_cpu_time_of_processes_that_nobody_waits_for_is_counted(tmp_path, monkeypatch, has_group):
    if not has_group:
        monkeypatch.setattr(account, "own_cgroup", lambda: None)
    elif not account.own_cgroup():
        pytest.skip("no control group can be made here")
    job = account.Job([sys.executable, "-c", FAMILY], tmp_path, {}, tmp_path / "log")
    cost = job.finish(20)
    assert cost.exit_code == 0, (tmp_path / "log").read_text()
    # Three times 0.3 s, and the start of Python.
    assert 0.88 < cost.cpu_seconds < 1.4
    assert cost.peak_rss_bytes > 10_000_000


def a_run(engine: str, cpu: float, **changes) -> Run:
    """1000 events in so many CPU-seconds, in two tables."""
    tables = {"raw": Contents(1000, 3, 2, 50_000), "staged": Contents(1000, 8, 2, 70_000)}
    figures = {"cost": Cost(cpu, 2 * cpu, 1_000_000, 0), "rows": 1000, "events": 1000}
    return Run(engine, 0, **{**figures, "tables": tables, **changes})


def test_an_engine_is_summed_up_by_medians_over_all_of_its_tables():
    ours = [a_run("ingest", cpu) for cpu in (5, 2, 4)]
    (engine,) = results.summarized(ours, "ingest")
    assert engine == {
        "name": "ingest",
        "rounds": 3,
        "events": 1000,
        "cpu_seconds": 4,
        "wall_seconds": 8,
        "events_per_cpu_second": 250,
        "peak_rss_bytes": 1_000_000,
        "rows": 1000,
        "files": 11,
        "snapshots": 4,
        "bytes": 120_000,
        "min_events_per_cpu_second": 200,
        "max_events_per_cpu_second": 500,
    }


def test_the_ratio_says_how_many_times_as_fast_ours_is():
    _, peer = results.summarized([a_run("ingest", 2), a_run("peer", 5)], "ingest")
    assert peer["ingest_ratio"] == 2.5


def test_an_engine_with_one_wrong_result_has_no_figure():
    runs = [a_run("peer", 1), a_run("peer", 1, failure="rows: 999 instead of 1000")]
    (engine,) = results.summarized(runs, "ingest")
    assert engine == {"name": "peer", "rounds": 2, "failures": ["rows: 999 instead of 1000"]}
    assert runs[1].as_dict() == {
        "engine": "peer",
        "round": 0,
        "failure": "rows: 999 instead of 1000",
    }


def test_the_written_result_says_when_and_its_chart_leaves_failures_out(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    runs = [a_run("ingest", 2), a_run("peer", 5), a_run("other", 1, failure="exit code 1")]
    engines = results.summarized(runs, "ingest")
    path = results.save("here", {"engines": engines}, results.chart(engines, "ingest"))
    written = json.loads(path.read_text())
    assert written.pop("measured_at")
    assert written == {"engines": engines}
    assert texts(path.with_suffix(".svg").read_text())[1:] == [
        *("ingest", "500"),
        *("peer", "200"),
    ]


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 (our own text)


def texts(svg: str) -> list[str | None]:
    return [text.text for text in drawn(svg).findall("{*}text")]


def test_the_bars_of_a_chart_are_as_long_as_their_figures():
    ours = Bar("x", 100, 90, 120, is_ours=True)
    svg = chart.page([("a & b", [ours]), ("c", [Bar("y<", 50, 50, 50, " s")])])
    assert texts(svg) == ["a & b", "x", "100", "c", "y<", "50 s"]
    _background, x, y = (rect.attrib for rect in drawn(svg).findall("{*}rect"))
    assert float(x["width"]) == pytest.approx(2 * float(y["width"]), abs=0.1)
    assert x["fill"] != y["fill"]


@pytest.mark.parametrize("parent", [None, "event_data"])
def test_the_sum_of_a_result_is_exact_and_passes_over_what_is_null(tmp_path, parent):
    price = [Decimal("0.100000"), Decimal("12.345678"), None]
    pairs = {
        "price": pa.array(price, pa.decimal128(18, 6)),
        "quantity": pa.array([3, 2, 7], pa.int32()),
    }
    if parent:
        pairs = {parent: pa.StructArray.from_arrays(list(pairs.values()), list(pairs))}
    file = str(tmp_path / "data.parquet")
    pq.write_table(pa.table(pairs), file)
    # 3 * 0.1 + 2 * 12.345678
    tallied = place.tally([file, file], fs.LocalFileSystem(), parent)
    assert tallied == (6, 2 * Decimal("24.991356"))


def test_a_result_that_is_not_what_was_produced_is_a_problem(tmp_path, monkeypatch):
    price = pa.array([Decimal("1.500000"), Decimal("3.000000")], pa.decimal128(18, 6))
    quantity = pa.array([2, 1], pa.int32())
    file = str(tmp_path / "data.parquet")
    data = pa.StructArray.from_arrays([price, quantity], ["price", "quantity"])
    pq.write_table(pa.table({"event_data": data}), file)
    monkeypatch.setattr(engines, "paths", lambda _table: [file])
    place = SimpleNamespace(store=fs.LocalFileSystem(), table=lambda _name: None)
    (peer,) = (engine for engine in engines.ENGINES if engine.name == "pyiceberg")
    assert peer.problems(place, Expected(2, 0, 2, Decimal(6))) == []
    assert peer.problems(place, Expected(3, 0, 3, Decimal(9))) == [
        "rows: 2 instead of 3",
        "price * quantity: 6.000000 instead of 9",
    ]


def test_what_is_expected_is_what_the_good_messages_say():
    expected = Expected()
    values = [message.value for message in expected.counted(60, bad_share=0)]
    values += [message.value for message in expected.counted(40, bad_share=1)]
    events = [json.loads(value, parse_float=Decimal) for value in values[:60]]
    assert len({event["event_id"] for event in events}) == 60
    amount = sum(event["event_data"]["price"] * event["event_data"]["quantity"] for event in events)
    assert expected == Expected(100, sum(map(len, values)), 60, amount)
