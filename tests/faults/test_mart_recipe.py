"""docs/marts.md, followed step by step: two files make a mart."""

import re
from collections.abc import Iterator

import pytest
from projects import Project, event

from lakehouse.stack.home import REPOSITORY

RECIPE = (REPOSITORY / "docs/marts.md").read_text().split("## A mart of your own")[1]
SHOWN = """
    SELECT CAST(event_date AS varchar), product_id, units FROM marts.daily_returns
    WHERE product_id = 'recipe'
"""


def returned(number: int, day: str, units: int) -> str:
    return event(
        f"recipe-{number}", f"{day}T10", "return", product="recipe", price=1, quantity=units
    )


@pytest.fixture(scope="module")
def project(topics, settings, spark, tmp_path_factory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("recipe") / "dbt", settings, spark)
    project.ingest(returned(1, "2026-03-05", 2), returned(2, "2026-03-06", 1))
    project.dbt("build")
    yield project
    project.restore()


def test_the_recipe_makes_a_mart_that_follows_late_and_corrected_events(project, query):
    files = re.findall(r"`dbt/(models/facts/\S+)`:\n\n```\w+\n(.*?)```", RECIPE, re.DOTALL)
    assert [path.split(".")[1] for path, _ in files] == ["sql", "yml"]
    for path, text in files:
        project.add(path, text)
    (command,) = re.findall(r"^    dbt (build --select .*)$", RECIPE, re.MULTILINE)

    project.dbt(*command.split())
    assert sorted(query(SHOWN)) == [["2026-03-05", "recipe", 2], ["2026-03-06", "recipe", 1]]

    project.ingest(returned(3, "2026-03-05", 4))
    assert "daily_returns: 2026-03-05 to restate" in project.dbt(*command.split())
    assert sorted(query(SHOWN)) == [["2026-03-05", "recipe", 6], ["2026-03-06", "recipe", 1]]

    query("DELETE FROM staging.stg_user_events WHERE event_id = 'recipe-2'")
    assert "daily_returns: 2026-03-06 to restate" in project.dbt(*command.split())
    assert query(SHOWN) == [["2026-03-05", "recipe", 6]]

    for path, _ in files:
        (project.folder / path).unlink()
    query("DROP TABLE marts.daily_returns")
    project.dbt("build")
