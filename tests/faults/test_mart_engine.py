"""Models that others add to the project, and options of dbt: none of them spoils a mart."""

import json
import shutil
import subprocess

import broker
import pytest

from lakehouse.ingest.run import ingest
from lakehouse.stack.home import REPOSITORY

DAY, NEXT_DAY = "2026-03-05", "2026-03-06"
# It forgets in_restated_days(), and has guests only where a variable says so.
CARELESS = """
{{ config(unique_key=['event_date', 'user_id']) }}
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
SHOWN = "SELECT CAST(event_date AS varchar), user_id, event_count FROM {schema}.careless"


def event(number: int, day: str, user: str | None = "ann") -> str:
    return json.dumps(
        {
            "event_id": f"engine-{number}",
            "user_id": user,
            "product_id": "P1",
            "event_type": "view",
            "event_timestamp": f"{day}T10:00:00Z",
            "event_data": {},
        }
    )


class Project:
    """A copy of dbt's project with models of somebody else's."""

    def __init__(self, folder, settings, spark):
        self._settings, self._spark, self._folder = settings, spark, folder
        ignored = shutil.ignore_patterns("target", "logs")
        shutil.copytree(REPOSITORY / "dbt", folder, ignore=ignored)
        for path, sql in (("marts/careless", CARELESS), ("analytics/long", LONG)):
            model = folder / "models" / path
            columns = [{"name": n, "data_type": t} for n, t in COLUMNS[model.name].items()]
            described = {"models": [{"name": model.name, "columns": columns}]}
            model.with_suffix(".sql").write_text(sql)
            model.with_suffix(".yml").write_text(json.dumps(described))

    def ingest(self, *values: str, key: str | None = "ann") -> None:
        broker.produce(self._settings, *values, key=key)
        ingest(self._spark, self._settings)

    def dbt(self, *words: str, exit_code: int = 0) -> str:
        folders = f"--project-dir={self._folder}", f"--profiles-dir={self._folder}"
        words = ("dbt", "--no-use-colors", *words, *folders)
        done = subprocess.run(words, cwd=self._folder, capture_output=True, text=True)
        assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def project(topics, settings, spark, tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("project") / "dbt", settings, spark)
    project.ingest(event(1, DAY), event(2, NEXT_DAY))
    project.dbt("run", "--select=+careless")
    return project


def test_a_model_without_the_filter_of_days_counts_each_event_once(project, query):
    project.ingest(event(3, DAY))
    printed = project.dbt("run", "--select=+careless")
    assert f"careless: {DAY} to restate" in printed
    found = sorted(query(SHOWN.format(schema="marts")))
    assert found == [[DAY, "ann", 2], [NEXT_DAY, "ann", 1]]


def test_a_null_in_the_grain_ends_the_build_and_changes_nothing(project, query):
    project.ingest(event(4, DAY, user=None), key=None)
    before = query(SHOWN.format(schema="marts"))
    printed = project.dbt("run", "--select=+careless", '--vars={"with_guests": true}', exit_code=1)
    assert "careless has a row without one of event_date, user_id" in printed
    assert query(SHOWN.format(schema="marts")) == before
    project.dbt("run", "--select=+careless")


def test_what_empty_made_is_rebuilt_by_the_next_build(project, query):
    project.ingest(event(5, NEXT_DAY))
    project.dbt("run", "--select=+careless", "--empty")
    assert sorted(query(SHOWN.format(schema="marts"))) == [[DAY, "ann", 2]]
    assert "careless is rebuilt in full" in project.dbt("run", "--select=+careless")
    found = sorted(query(SHOWN.format(schema="marts")))
    assert found == [[DAY, "ann", 2], [NEXT_DAY, "ann", 2]]


def test_the_target_dev_leaves_the_marts_of_others_alone(project, query, monkeypatch):
    monkeypatch.setenv("DBT_DEVELOPER", "Eve")
    before = query('SELECT max(committed_at) FROM marts."careless$snapshots"')
    project.dbt("run", "--select=+careless", "--target=dev")
    found = sorted(query(SHOWN.format(schema="dev_eve_marts")))
    assert found == [[DAY, "ann", 2], [NEXT_DAY, "ann", 2]]
    assert query('SELECT max(committed_at) FROM marts."careless$snapshots"') == before


def test_a_model_that_is_never_to_be_rebuilt_is_not(project, query):
    for _ in range(2):
        project.dbt("run", "--select=long", "--full-refresh")
    assert query("SELECT count(*) FROM analytics.long") == [[2]]


def test_an_incremental_model_of_another_strategy_is_held_as_dbt_trino_has_it(project):
    kinds = "{{ get_incremental_tmp_relation_type('delete+insert', 'a', 'sql') }}"
    shown = project.dbt("--quiet", "show", f"--inline=select '{kinds}' as kind")
    assert "| table" in shown
