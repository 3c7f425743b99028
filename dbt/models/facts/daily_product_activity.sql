{{ config(
    unique_key=['event_date', 'product_id'],
    meta={'restated_from': 'stg_user_events'}
) }}

with

events as (

    select * from {{ ref('user_events') }}
    where {{ in_restated_days() }}

),

daily_product_activity as (

    select
        event_date,
        product_id,
        count_if(event_type = 'view') as view_count,
        count(distinct if(event_type = 'view', user_id)) as unique_viewers,
        count_if(event_type = 'add_to_cart') as add_to_cart_count,
        count_if(event_type = 'remove_from_cart') as remove_from_cart_count,
        count_if(event_type = 'purchase') as purchase_count,
        count_if(event_type = 'return') as return_count
    from events
    group by event_date, product_id

)

select * from daily_product_activity
