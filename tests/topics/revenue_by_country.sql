with

changes as (

    select * from {{ source('staging', 'stg_orders') }}

),

-- What an order was at last; a deleted one is none.
orders as (

    select
        order_id,
        max_by(country, (changed_at, kafka_offset)) as country,
        max_by(total, (changed_at, kafka_offset)) filter (where total is not null) as total,
        max_by(is_deleted, (changed_at, kafka_offset)) as is_deleted
    from changes
    group by 1

),

revenue_by_country as (

    select
        country,
        sum(total) as revenue,
        count(*) as orders
    from orders
    where not is_deleted
    group by 1

)

select * from revenue_by_country
