with

messages as (

    select * from {{ source('staging', 'stg_user_events') }}

),

deliveries as (

    select
        *,
        row_number() over (
            partition by event_id
            order by kafka_timestamp, kafka_partition, kafka_offset
        ) as delivery_number
    from messages

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
        cast(price * quantity as decimal(38, 6)) as amount
    from deliveries
    where delivery_number = 1

)

select * from events
