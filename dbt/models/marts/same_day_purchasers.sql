{{ config(unique_key=['user_id', 'event_date', 'product_id']) }}

with

events as (

    select * from {{ ref('user_events') }}
    where
        user_id is not null
        and event_type in ('view', 'purchase')
        and {{ in_restated_days() }}

),

with_first_view as (

    select
        *,
        min(case when event_type = 'view' then event_timestamp end) over (
            partition by user_id, event_date, product_id
        ) as first_viewed_at
    from events

),

purchases_after_view as (

    select
        user_id,
        event_date,
        product_id,
        first_viewed_at,
        min(event_timestamp) as purchased_at,
        sum(amount) as amount
    from with_first_view
    where
        event_type = 'purchase'
        and event_timestamp >= first_viewed_at
    group by user_id, event_date, product_id, first_viewed_at

),

same_day_purchasers as (

    select
        user_id,
        event_date,
        product_id,
        first_viewed_at,
        purchased_at,
        {{ whole_minutes('first_viewed_at', 'purchased_at') }} as minutes_to_purchase,
        amount
    from purchases_after_view

)

select * from same_day_purchasers
