{{ config(
    unique_key=['user_id', 'event_date', 'product_id'],
    meta={'restated_from': 'stg_user_events'}
) }}

with

purchases as (

    select * from {{ ref('user_events') }}
    where
        user_id is not null
        and event_type = 'purchase'
        and {{ in_restated_days() }}

),

views as (

    select * from {{ ref('user_events') }}
    where
        event_type = 'view'
        and {{ in_restated_days() }}

),

bought as (

    select distinct
        user_id,
        event_date,
        product_id
    from purchases

),

-- Of what was bought alone: to keep all views takes the memory of all views.
first_views as (

    select
        bought.user_id,
        bought.event_date,
        bought.product_id,
        min(views.event_timestamp) as first_viewed_at
    from views
    inner join bought
        on
            views.user_id = bought.user_id
            and views.event_date = bought.event_date
            and views.product_id = bought.product_id
    group by bought.user_id, bought.event_date, bought.product_id

),

purchases_after_view as (

    select
        purchases.user_id,
        purchases.event_date,
        purchases.product_id,
        first_views.first_viewed_at,
        min(purchases.event_timestamp) as purchased_at,
        sum(purchases.amount) as amount
    from purchases
    inner join first_views
        on
            purchases.user_id = first_views.user_id
            and purchases.event_date = first_views.event_date
            and purchases.product_id = first_views.product_id
    where purchases.event_timestamp >= first_views.first_viewed_at
    group by
        purchases.user_id, purchases.event_date, purchases.product_id, first_views.first_viewed_at

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
