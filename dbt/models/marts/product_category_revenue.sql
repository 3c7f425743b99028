{{ config(
    unique_key=['event_date', 'category'],
    meta={'shows_products_if': 'activity.purchase_count + activity.return_count > 0'}
) }}

with

sales as (

    select * from {{ ref('user_events') }}
    where
        event_type in ('purchase', 'return')
        and {{ in_restated_days() }}

),

products as (

    select * from {{ ref('products') }}

),

categorized_sales as (

    select
        sales.event_date,
        coalesce(products.category, 'Unknown product') as category,
        sales.user_id,
        sales.quantity,
        sales.amount,
        sales.event_type = 'purchase' as is_purchase
    from sales
    left join products
        on sales.product_id = products.product_id

),

totals as (

    select
        event_date,
        category,
        coalesce(sum(amount) filter (where is_purchase), 0) as gross_revenue,
        coalesce(sum(amount) filter (where not is_purchase), 0) as returned_amount,
        count(*) filter (where is_purchase) as purchase_count,
        coalesce(sum(quantity) filter (where is_purchase), 0) as units_sold,
        count(distinct user_id) filter (where is_purchase) as buyers
    from categorized_sales
    group by event_date, category

),

product_category_revenue as (

    select
        event_date,
        category,
        cast(gross_revenue as decimal(38, 6)) as gross_revenue,
        cast(returned_amount as decimal(38, 6)) as returned_amount,
        cast(gross_revenue - returned_amount as decimal(38, 6)) as net_revenue,
        purchase_count,
        units_sold,
        buyers
    from totals

)

select * from product_category_revenue
