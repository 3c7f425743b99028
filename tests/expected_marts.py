"""Values of messages -> all rows of the marts, computed by DuckDB from the JSON itself."""

from collections import Counter
from collections.abc import Iterable

import duckdb

from lakehouse.demo import plain

# Decimals from the digits of the message on; of an event that is sent again, one is counted.
_EVENTS = """
    CREATE TABLE events AS
    SELECT DISTINCT ON (value ->> 'event_id')
        (timezone($zone, (value ->> 'event_timestamp')::TIMESTAMPTZ))::DATE AS day,
        (value ->> 'event_timestamp')::TIMESTAMPTZ AS moment,
        value ->> 'user_id' AS user_id,
        value ->> 'product_id' AS product_id,
        value ->> 'event_type' AS type,
        (value -> 'event_data' ->> 'quantity')::INTEGER AS units,
        (value -> 'event_data' ->> 'price')::DECIMAL(18, 6)
            * (value -> 'event_data' ->> 'quantity')::DECIMAL(10, 0) AS amount
    FROM (SELECT unnest($values)::JSON AS value)
"""
_PRODUCTS = """
    CREATE TABLE products AS
    SELECT DISTINCT ON (value ->> 'product_id')
        value ->> 'product_id' AS product_id,
        coalesce(value ->> 'category', 'Uncategorized') AS category,
        value ->> 'name' AS name
    FROM (SELECT unnest($values)::JSON AS value)
    ORDER BY (value ->> 'updated_at')::TIMESTAMPTZ DESC
"""
MARTS = {
    "product_category_revenue": """
        SELECT
            day AS event_date,
            coalesce(category, 'Unknown product') AS category,
            sum(CASE type WHEN 'purchase' THEN amount ELSE 0 END)::DECIMAL(38, 6) AS gross_revenue,
            sum(CASE type WHEN 'return' THEN amount ELSE 0 END)::DECIMAL(38, 6) AS returned_amount,
            sum(CASE type WHEN 'return' THEN -amount ELSE amount END)::DECIMAL(38, 6)
                AS net_revenue,
            count(*) FILTER (type = 'purchase') AS purchase_count,
            sum(CASE type WHEN 'purchase' THEN units ELSE 0 END)::BIGINT AS units_sold,
            count(DISTINCT user_id) FILTER (type = 'purchase') AS buyers
        FROM events LEFT JOIN products USING (product_id)
        WHERE type = 'purchase' OR type = 'return'
        GROUP BY ALL
    """,
    "top_viewed_products": """
        SELECT
            day AS event_date, product_id, any_value(name) AS name,
            coalesce(any_value(category), 'Unknown product') AS category,
            count(*) AS view_count,
            count(DISTINCT user_id) AS unique_viewers,
            rank() OVER (PARTITION BY day ORDER BY count(*) DESC, product_id) AS view_rank
        FROM events LEFT JOIN products USING (product_id)
        WHERE type = 'view'
        GROUP BY day, product_id
    """,
    "same_day_purchasers": """
        SELECT
            bought.user_id, bought.day AS event_date, bought.product_id,
            viewed.moment AS first_viewed_at,
            min(bought.moment) AS purchased_at,
            floor((epoch_us(min(bought.moment)) - epoch_us(viewed.moment)) / 60e6)::BIGINT
                AS minutes_to_purchase,
            sum(bought.amount)::DECIMAL(38, 6) AS amount
        FROM (SELECT * FROM events WHERE type = 'purchase') AS bought
        JOIN (
            SELECT user_id, day, product_id, min(moment) AS moment FROM events WHERE type = 'view'
            GROUP BY ALL
        ) AS viewed
            ON bought.user_id = viewed.user_id AND bought.product_id = viewed.product_id
            AND bought.day = viewed.day AND bought.moment >= viewed.moment
        GROUP BY bought.user_id, bought.day, bought.product_id, viewed.moment
    """,
}


def expected_marts(
    events: Iterable[str], products: Iterable[str], zone: str = "UTC"
) -> dict[str, set[tuple]]:
    """Mart -> its rows, with the columns in the order of the mart."""
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        duck.execute(_EVENTS, {"values": list(events), "zone": zone})
        duck.execute(_PRODUCTS, {"values": list(products)})
        return {mart: set(duck.execute(sql).fetchall()) for mart, sql in MARTS.items()}


def assert_as_generated(query, expected: dict) -> None:
    """`expected` is what `python -m generator expect` says."""
    for mart in MARTS:
        columns = ", ".join(expected[mart][0])
        found = Counter(
            tuple(map(plain, row)) for row in query(f"SELECT {columns} FROM marts.{mart}")
        )
        assert found == Counter(tuple(row.values()) for row in expected[mart]), mart
