"""Models that others add to the project, and options of dbt: none of them spoils a mart."""

import json
import signal
import time
from collections.abc import Iterator
from threading import Event, Thread

import pytest
from projects import Project, event

DAY, NEXT_DAY = "2026-03-05", "2026-03-06"
# It forgets in_restated_days(), and has guests only where a variable says so.
CARELESS = """
{{ config(unique_key=['event_date', 'user_id'], meta={'restated_from': 'stg_user_events'}) }}
select event_date, user_id, count(*) as event_count
from {{ ref('user_events') }}
where user_id is not null or {{ var('with_guests', false) }}
group by event_date, user_id
"""
LONG = """
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    full_refresh=false
) }}
select 1 as number
"""
COLUMNS = {
    "careless": {"event_date": "date", "user_id": "varchar", "event_count": "bigint"},
    "long": {"number": "integer"},
}
BUILDS = """
    SELECT count(*) FROM system.runtime.queries WHERE query LIKE '%create or ' || 'replace view%'
"""
SHOWN = """
    SELECT CAST(event_date AS varchar), user_id, event_count FROM {schema}.careless
    WHERE user_id IN ('ann', 'bob')
"""


def view(number: int, day: str, user: str | None = "ann") -> str:
    return event(f"engine-{number}", f"{day}T10", user=user)


@pytest.fixture(scope="module")
def project(topics, settings, spark, tmp_path_factory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project") / "dbt", settings, spark)
    for path, sql in (("facts/careless", CARELESS), ("analytics/long", LONG)):
        name = path.split("/")[1]
        columns = [{"name": n, "data_type": t} for n, t in COLUMNS[name].items()]
        described = {"models": [{"name": name, "columns": columns}]}
        project.add(f"models/{path}.sql", sql)
        project.add(f"models/{path}.yml", json.dumps(described))
    project.ingest(view(1, DAY), view(2, NEXT_DAY))
    project.dbt("run", "--select=+careless")
    yield project
    project.restore()


def test_a_model_without_the_filter_of_days_counts_each_event_once(project, query):
    project.ingest(view(3, DAY))
    printed = project.dbt("run", "--select=careless")
    assert f"careless: {DAY} to restate" in printed
    found = sorted(query(SHOWN.format(schema="marts")))
    assert found == [[DAY, "ann", 2], [NEXT_DAY, "ann", 1]]


def test_a_null_in_the_grain_ends_the_build_and_changes_nothing(project, query):
    project.ingest(view(4, DAY, user=None), key=None)
    before = sorted(query(SHOWN.format(schema="marts")))
    printed = project.dbt("run", "--select=careless", '--vars={"with_guests": true}', exit_code=1)
    assert "careless has a row without one of event_date, user_id" in printed
    assert sorted(query(SHOWN.format(schema="marts"))) == before
    project.dbt("run", "--select=careless")


def test_what_empty_made_is_rebuilt_by_the_next_build(project, query):
    project.ingest(view(5, NEXT_DAY))
    project.dbt("run", "--select=careless", "--empty")
    assert query(SHOWN.format(schema="marts")) == []
    assert "careless is rebuilt in full" in project.dbt("run", "--select=careless")
    found = sorted(query(SHOWN.format(schema="marts")))
    assert found == [[DAY, "ann", 2], [NEXT_DAY, "ann", 2]]


def test_the_target_dev_leaves_the_marts_of_others_alone(project, query, monkeypatch):
    monkeypatch.setenv("DBT_DEVELOPER", "Eve")
    before = query('SELECT max(committed_at) FROM marts."careless$snapshots"')
    project.dbt("run", "--select=+careless", "--target=dev")
    found = sorted(query(SHOWN.format(schema="dev_eve_marts")))
    assert found == [[DAY, "ann", 2], [NEXT_DAY, "ann", 2]]
    assert query('SELECT max(committed_at) FROM marts."careless$snapshots"') == before


def test_one_mart_that_is_selected_alone_is_built_from_staging_as_it_is_now(project, query):
    project.ingest(view(6, NEXT_DAY, user="bob"), key="bob")
    project.dbt("build", "--select=careless")
    assert [NEXT_DAY, "bob", 1] in query(SHOWN.format(schema="marts"))


def test_rows_that_are_deleted_in_trino_restate_their_day_alone(project, query):
    project.dbt("run", "--select=careless")
    query("DELETE FROM staging.stg_user_events WHERE event_id = 'engine-6'")
    project.ingest(view(7, DAY))
    printed = project.dbt("run", "--select=careless")
    assert f"careless: {DAY}, {NEXT_DAY} to restate" in printed
    assert sorted(query(SHOWN.format(schema="marts"))) == [[DAY, "ann", 3], [NEXT_DAY, "ann", 2]]
    assert "careless: no day to restate" in project.dbt("run", "--select=careless")


def test_a_macro_below_a_macro_rebuilds_the_marts_that_use_it(project):
    """user_events calls reporting_date; careless reads user_events."""
    project.edit("macros/reporting_date.sql", "cast({{ column }}", "cast({{ moment(column) }}")
    project.add("macros/moment.sql", "{% macro moment(column) %}{{ column }}{% endmacro %}")
    project.dbt("run", "--select=+careless")
    project.edit("macros/moment.sql", "{{ column }}", "({{ column }})")
    printed = project.dbt("run", "--select=+careless")
    assert "careless is rebuilt in full: its code, or a variable in it, has changed" in printed


def test_a_mart_that_follows_no_table_is_refused_with_the_way_on(project):
    project.edit("models/facts/careless.sql", "stg_user_events", "stg_orders")
    printed = project.dbt("run", "--select=careless", exit_code=2)
    assert "careless follows staging.stg_orders, which does not exist. Run `spark-sub" in printed
    project.edit("models/facts/careless.sql", "stg_orders", "stg_user_events")


def test_a_second_run_is_refused_and_a_killed_one_counts_as_dead_after_a_while(project, query):
    project.ingest(view(8, DAY))
    ((before,),) = query(BUILDS)
    with project.start("run", "--select=+careless", "--full-refresh") as first:
        while query(BUILDS) == [[before]]:
            assert first.poll() is None
            time.sleep(0.05)
        first.send_signal(signal.SIGSTOP)
        refused = project.dbt("run", "--select=careless", exit_code=2)
        # Those that only read are nobody's hindrance, and hinder nobody.
        project.dbt("test", "--select=events_keep_their_contract")
        first.kill()
    assert "another run builds these marts" in refused
    dead = project.dbt("run", "--select=careless", exit_code=2)
    assert "counts as dead after 30 s of silence" in dead
    # Trino ends what the dead one left running.
    deadline = time.monotonic() + 400
    while project.start("run", "--select=careless").wait() and time.monotonic() < deadline:
        time.sleep(5)
    assert [DAY, "ann", 4] in query(SHOWN.format(schema="marts"))


def test_a_day_that_planning_missed_is_found_once_its_turn_comes(project, query):
    mart, test = "daily_product_activity", "activity_is_what_the_events_say"
    build = ("build", f"--select={mart} {test}", "--indirect-selection=cautious")
    project.dbt("run", f"--select=+{mart}")
    query(f"DELETE FROM marts.{mart} WHERE event_date = DATE '{DAY}'")
    query(f"""
        UPDATE ops.mart_builds SET mart_snapshot_id = (
            SELECT max_by(snapshot_id, committed_at) FROM marts."{mart}$snapshots"
        ) WHERE mart = '{mart}'
    """)
    query("INSERT INTO ops.mart_tests VALUES (current_timestamp, 'before', NULL)")
    project.dbt(*build, '--vars={"days_to_test_again": 0}')
    all_in_turn = '--vars={"days_to_test_again": 1000}'
    assert f"FAIL 1 {test}" in project.dbt(*build, all_in_turn, exit_code=1)
    query(f"DELETE FROM ops.mart_builds WHERE mart = '{mart}'")
    project.dbt(*build)


def test_a_model_that_is_never_to_be_rebuilt_is_not(project, query):
    for _ in range(2):
        project.dbt("run", "--select=long", "--full-refresh")
    assert query("SELECT count(*) FROM analytics.long") == [[2]]


def test_an_incremental_model_of_another_strategy_is_held_as_dbt_trino_has_it(project):
    kinds = "{{ get_incremental_tmp_relation_type('delete+insert', 'a', 'sql') }}"
    shown = project.dbt("--quiet", "show", f"--inline=select '{kinds}' as kind")
    assert "| table" in shown


def test_tables_of_an_earlier_version_become_those_of_this_one(project, query):
    query("ALTER TABLE ops.mart_tests DROP COLUMN looked_until")
    query("DROP VIEW IF EXISTS marts.top_viewed_products")
    query("CREATE TABLE marts.top_viewed_products AS SELECT 1 AS view_rank")
    project.dbt("run", "--select=+careless +top_viewed_products")
    query("SELECT looked_until FROM ops.mart_tests")
    assert query("SELECT max(view_rank) FROM marts.top_viewed_products") == [[1]]


def test_a_reader_sees_two_days_change_at_once_in_twenty_restatements(project, query):
    seen, done = set(), Event()
    counts = """
        SELECT sum(if(event_date = DATE '2026-03-10', event_count, 0)),
            sum(if(event_date = DATE '2026-03-20', event_count, 0))
        FROM marts.careless WHERE user_id = 'ann'
    """

    def look() -> None:
        while not done.is_set():
            seen.update(map(tuple, query(counts)))

    project.ingest(view(100, "2026-03-10"), view(101, "2026-03-20"))
    project.dbt("run", "--select=+careless")
    reader = Thread(target=look)
    reader.start()
    try:
        for number in range(102, 142, 2):
            project.ingest(view(number, "2026-03-10"), view(number + 1, "2026-03-20"))
            project.dbt("run", "--select=careless")
    finally:
        done.set()
        reader.join()
    assert {(number, number) for number in (1, 21)} <= seen | set(map(tuple, query(counts)))
    assert all(one == other for one, other in seen)
    assert len(seen) > 10


def test_a_build_warns_of_half_a_days_traffic_of_an_empty_day_and_of_other_prices(project, query):
    """Each on a day of its own in the last week of five; the others have 100 views and a price."""
    project.dbt("run", "--select=+sales +calendar")
    query("""
        INSERT INTO marts.daily_product_activity
        SELECT day, 'weekly', if(day = DATE '2027-02-01', 50, 100), 0, 0, 0, 0, 0
        FROM unnest(sequence(DATE '2027-01-01', DATE '2027-02-05')) AS days (day)
        WHERE day <> DATE '2027-02-02'
    """)
    query("""
        INSERT INTO marts.sales (event_date, event_id, is_return, quantity, amount)
        SELECT day, 'weekly', false, 1, if(day = DATE '2027-02-03', 100, 1)
        FROM unnest(sequence(DATE '2027-01-01', DATE '2027-02-05')) AS days (day)
    """)
    test = "the_last_days_are_like_their_weekdays"
    assert f"WARN 3 {test}" in project.dbt("test", f"--select={test}")
