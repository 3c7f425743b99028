with

messages as (

    select * from {{ pinned(source('staging', 'stg_user_events')) }}

),

events as (

    select
        event_id,
        user_id,
        product_id,
        event_type,
        event_timestamp,
        {{ reporting_date('event_timestamp') }} as event_date,
        event_data,
        price,
        quantity,
        order_id,
        session_id,
        device,
        referrer,
        cast(price * quantity as decimal(38, 6)) as amount
    from messages

)

select * from events
