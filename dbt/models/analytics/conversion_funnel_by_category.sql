with

activity as (

    select * from {{ ref('daily_product_activity') }}

),

products as (

    select * from {{ ref('products') }}

),

counts as (

    select
        activity.event_date,
        coalesce(products.category, 'Unknown product') as category,
        sum(activity.view_count) as view_count,
        sum(activity.add_to_cart_count) as add_to_cart_count,
        sum(activity.purchase_count) as purchase_count
    from activity
    left join products
        on activity.product_id = products.product_id
    group by 1, 2

),

conversion_funnel_by_category as (

    select
        event_date,
        category,
        view_count,
        add_to_cart_count,
        purchase_count,
        {{ percentage('add_to_cart_count', 'view_count') }} as view_to_cart_percent,
        {{ percentage('purchase_count', 'add_to_cart_count') }} as cart_to_purchase_percent,
        {{ percentage('purchase_count', 'view_count') }} as view_to_purchase_percent
    from counts

)

select * from conversion_funnel_by_category
