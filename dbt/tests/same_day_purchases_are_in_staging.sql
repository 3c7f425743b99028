{{ config(store_failures_as='view') }}

{%- set days = untested_days('same_day_purchasers') -%}

with

purchasers as (

    select * from {{ ref('same_day_purchasers') }}
    where {{ rows_of(days) }}

),

events as (

    select * from {{ ref('user_events') }}
    where
        event_type in ('view', 'purchase')
        and {{ events_of(days) }}

),

found as (

    select
        purchasers.user_id,
        purchasers.event_date,
        purchasers.product_id,
        bool_or(
            events.event_type = 'view'
            and events.event_timestamp = purchasers.first_viewed_at
        ) as has_view,
        bool_or(
            events.event_type = 'purchase'
            and events.event_timestamp = purchasers.purchased_at
        ) as has_purchase
    from purchasers
    left join events
        on
            purchasers.user_id = events.user_id
            and purchasers.event_date = events.event_date
            and purchasers.product_id = events.product_id
    group by purchasers.user_id, purchasers.event_date, purchasers.product_id

),

missing as (

    select * from found
    where not coalesce(has_view and has_purchase, false)

)

select * from missing
