{{ config(store_failures_as='view') }}

{%- set days = untested_days('daily_product_activity') -%}

with

tested as (

    select event_id from {{ ref('user_events') }}
    where {{ events_of(days) }} or event_timestamp is null

),

repeated as (

    select
        event_id,
        count(*) as event_count,
        min(event_date) as first_date,
        max(event_date) as last_date
    from {{ ref('user_events') }}
    where
        ({{ events_of(days_around(days, duplicate_horizon_days())) }} or event_timestamp is null)
        and event_id in (select tested.event_id from tested)
    group by event_id
    having count(*) > 1

)

select * from repeated
