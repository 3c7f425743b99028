with

activity as (

    select * from {{ ref('daily_product_activity') }}

),

products as (

    select * from {{ ref('products') }}

),

top_viewed_products as (

    select
        activity.event_date,
        activity.product_id,
        products.name,
        coalesce(products.category, 'Unknown product') as category,
        activity.view_count,
        activity.unique_viewers,
        row_number() over (
            partition by activity.event_date
            order by activity.view_count desc, activity.product_id asc
        ) as view_rank
    from activity
    left join products
        on activity.product_id = products.product_id
    where activity.view_count > 0

)

select * from top_viewed_products
