"""Defects of marts, one at a time: the tests of a build see each."""

import pytest
from projects import Project, event

DAY = "2026-04-07"
SALES, REVENUE = "models/facts/sales.sql", "models/marts/product_category_revenue.sql"
ACTIVITY = "models/facts/daily_product_activity.sql"
PURCHASERS = "models/facts/same_day_purchasers.sql"
RECOUNTED = {
    SALES: "sales_are_the_purchases_and_returns",
    ACTIVITY: "activity_is_what_the_events_say",
    PURCHASERS: "same_day_purchasers_are_all_there",
    REVENUE: "revenue_is_what_events_and_products_say",
}
DEFECTS = {
    "returns are missing": (SALES, "in ('purchase', 'return')", "in ('purchase')"),
    "prices times 100": (SALES, "sold.amount,", "sold.amount * 100 as amount,"),
    "viewers are views": (ACTIVITY, "count(distinct if(event_type = 'view', user_id))", "count(*)"),
    "carts are missing": (ACTIVITY, "event_type = 'add_to_cart'", "event_type = 'no'"),
    "a later first view": (PURCHASERS, "min(views.event_timestamp)", "max(views.event_timestamp)"),
    "a part of the amount": (PURCHASERS, "sum(purchases.amount)", "max(purchases.amount)"),
    "missing rows": (PURCHASERS, ">= first_views.first", "> first_views.first"),
    "a wrong category": (REVENUE, "'Unknown product'", "'Toys'"),
    "no revenue without a product": (REVENUE, "left join products", "inner join products"),
}


@pytest.fixture(scope="module")
def project(topics, settings, spark, tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("defects") / "dbt", settings, spark)
    sale = {"price": 2, "quantity": 3}

    def at(hour: str, kind: str, **data) -> str:
        name = f"defect-{hour}-{kind}"
        return event(name, f"{DAY}T{hour}", kind, user="dan", product="defect", **data)

    project.ingest(
        at("09", "view"),
        at("10", "view"),
        at("10", "add_to_cart"),
        at("09", "purchase", **sale),
        at("11", "purchase", **sale),
        at("12", "return", **sale),
        key="dan",
    )
    project.dbt("run")
    return project


@pytest.mark.parametrize(("file", "old", "new"), DEFECTS.values(), ids=DEFECTS)
def test_a_build_fails_for(project, query, file, old, new):
    original = (project.folder / file).read_text()
    project.edit(file, old, new)
    model = file.rsplit("/", 1)[1].removesuffix(".sql")
    test = RECOUNTED[file]
    build = ("build", f"--select=+{model} {test}", "--indirect-selection=cautious")
    project.dbt(*build, "--store-failures", exit_code=1)
    assert query(f"SELECT count(*) FROM ops.{test} WHERE event_date = DATE '{DAY}'") == [[1]]
    query(f"DROP TABLE ops.{test}")
    project.add(file, original)
