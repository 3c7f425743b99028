{{ config(
    unique_key=['event_date', 'product_id'],
    meta={'shows_products_if': 'activity.view_count > 0'}
) }}

with

views as (

    select * from {{ ref('user_events') }}
    where
        event_type = 'view'
        and {{ in_restated_days() }}

),

products as (

    select * from {{ ref('products') }}

),

counts as (

    select
        event_date,
        product_id,
        count(*) as view_count,
        count(distinct user_id) as unique_viewers
    from views
    group by event_date, product_id

),

top_viewed_products as (

    select
        counts.event_date,
        counts.product_id,
        products.name,
        coalesce(products.category, 'Unknown product') as category,
        counts.view_count,
        counts.unique_viewers,
        row_number() over (
            partition by counts.event_date
            order by counts.view_count desc, counts.product_id asc
        ) as view_rank
    from counts
    left join products
        on counts.product_id = products.product_id

)

select * from top_viewed_products
