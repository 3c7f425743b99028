{{ config(
    unique_key=['event_date', 'event_id'],
    meta={
        'restated_from': 'stg_user_events',
        'looks_up': {'stg_product_metadata': 'product_id'}
    }
) }}

with

sold as (

    select * from {{ ref('user_events') }}
    where
        event_type in ('purchase', 'return')
        and {{ in_restated_days() }}

),

history as (

    select * from {{ ref('product_history') }}

),

-- A deletion takes no category away.
described as (

    select
        product_id,
        coalesce(category, 'Uncategorized') as category,
        valid_from,
        lead(valid_from) over (partition by product_id order by version_number asc) as valid_to
    from history
    where not is_deleted

),

sales as (

    select
        sold.event_date,
        sold.event_id,
        sold.event_timestamp,
        sold.event_type = 'return' as is_return,
        sold.user_id,
        sold.product_id,
        sold.order_id,
        sold.quantity,
        sold.price,
        sold.amount,
        coalesce(described.category, 'Unknown product') as category_at_sale
    from sold
    left join described
        on
            sold.product_id = described.product_id
            and sold.event_timestamp >= described.valid_from
            and (sold.event_timestamp < described.valid_to or described.valid_to is null)

)

select * from sales
