"""Unit tests of dbt's models, on empty tables in schemas of a developer's own."""

from lakehouse.ingest.run import ingest


def test_each_model_gives_the_rows_that_its_unit_tests_expect(topics, settings, spark, command):
    ingest(spark, settings)
    assert " unit tests" in command("dbt", "build", "--target=dev", "--empty").stdout


def test_trino_shows_what_a_column_means(query):
    described = dict(
        query("""
            SELECT column_name, remarks FROM system.jdbc.columns
            WHERE table_schem LIKE 'dev_%_marts' AND table_name = 'top_viewed_products'
        """)
    )
    assert described["view_rank"].startswith("1 is the most viewed product of the day")
    assert all(described.values())
