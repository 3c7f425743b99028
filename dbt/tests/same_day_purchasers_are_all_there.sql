{%- set days = tested_days() -%}
{%- set compared -%}
    user_id, product_id, first_viewed_at, purchased_at, amount
{%- endset -%}

with

events as (

    select * from {{ ref('user_events') }}
    where
        user_id is not null
        and event_type in ('view', 'purchase')
        and {{ events_of(days) }}

),

-- Each purchase with the first view before it: the first of all its pairs is the first of the day.
qualified as (

    select
        purchases.event_id,
        purchases.user_id,
        purchases.event_date,
        purchases.product_id,
        purchases.event_timestamp,
        purchases.amount,
        min(views.event_timestamp) as viewed_at
    from events as views
    inner join events as purchases
        on
            views.user_id = purchases.user_id
            and views.event_date = purchases.event_date
            and views.product_id = purchases.product_id
            and views.event_timestamp <= purchases.event_timestamp
    where
        views.event_type = 'view'
        and purchases.event_type = 'purchase'
    group by
        purchases.event_id,
        purchases.user_id,
        purchases.event_date,
        purchases.product_id,
        purchases.event_timestamp,
        purchases.amount

),

recomputed as (

    select
        user_id,
        event_date,
        product_id,
        min(viewed_at) as first_viewed_at,
        min(event_timestamp) as purchased_at,
        sum(amount) as amount
    from qualified
    group by user_id, event_date, product_id

),

by_day as (

    select
        event_date,
        count(*) as row_count,
        checksum(row({{ compared }})) as content
    from recomputed
    group by event_date

),

held as (

    select
        event_date,
        count(*) as row_count,
        checksum(row({{ compared }})) as content,
        min(minutes_to_purchase) as least_minutes
    from {{ ref('same_day_purchasers') }}
    where {{ rows_of(days) }}
    group by event_date

)

select
    coalesce(by_day.event_date, held.event_date) as event_date,
    by_day.row_count as recomputed,
    held.row_count as held
from by_day
full outer join held
    on by_day.event_date = held.event_date
where
    by_day.content is distinct from held.content
    or held.least_minutes < 0
