{%- set days = tested_days() -%}
{%- set compared -%}
    product_id, view_count, unique_viewers, add_to_cart_count, remove_from_cart_count,
    purchase_count, return_count
{%- endset -%}

with

-- A viewer of a product is a row here, and a guest's views are one row.
by_user as (

    select
        event_date,
        product_id,
        user_id,
        sum(if(event_type = 'view', 1, 0)) as views,
        sum(if(event_type = 'add_to_cart', 1, 0)) as adds,
        sum(if(event_type = 'remove_from_cart', 1, 0)) as removals,
        sum(if(event_type = 'purchase', 1, 0)) as purchases,
        sum(if(event_type = 'return', 1, 0)) as comebacks
    from {{ ref('user_events') }}
    where {{ events_of(days) }}
    group by event_date, product_id, user_id

),

recounted as (

    select
        event_date,
        product_id,
        sum(views) as view_count,
        sum(if(views > 0 and user_id is not null, 1, 0)) as unique_viewers,
        sum(adds) as add_to_cart_count,
        sum(removals) as remove_from_cart_count,
        sum(purchases) as purchase_count,
        sum(comebacks) as return_count
    from by_user
    group by event_date, product_id

),

by_day as (

    select
        event_date,
        checksum(row({{ compared }})) as content
    from recounted
    group by event_date

),

held as (

    select
        event_date,
        checksum(row({{ compared }})) as content
    from {{ ref('daily_product_activity') }}
    where {{ rows_of(days) }}
    group by event_date

)

select coalesce(by_day.event_date, held.event_date) as event_date
from by_day
full outer join held
    on by_day.event_date = held.event_date
where by_day.content is distinct from held.content
