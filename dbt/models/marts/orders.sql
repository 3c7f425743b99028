with

sales as (

    select * from {{ ref('sales') }}

),

orders as (

    select
        order_id,
        min(user_id) as user_id,
        min(event_date) filter (where not is_return) as order_date,
        min(event_timestamp) filter (where not is_return) as ordered_at,
        count(distinct if(not is_return, product_id)) as product_count,
        sum(if(is_return, 0, quantity)) as units,
        cast(sum(if(is_return, 0, amount)) as decimal(38, 6)) as amount,
        cast(sum(if(is_return, amount, 0)) as decimal(38, 6)) as returned_amount
    from sales
    where order_id is not null
    group by order_id

)

select * from orders
