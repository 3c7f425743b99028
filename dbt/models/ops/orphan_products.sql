{{ config(materialized='view') }}

with

activity as (

    select * from {{ ref('daily_product_activity') }}

),

products as (

    select * from {{ ref('products') }}

),

orphan_products as (

    select
        activity.product_id,
        min(activity.event_date) as first_event_date,
        max(activity.event_date) as last_event_date,
        sum(activity.view_count) as view_count,
        sum(activity.purchase_count) as purchase_count,
        sum(activity.return_count) as return_count
    from activity
    left join products
        on activity.product_id = products.product_id
    where products.product_id is null
    group by activity.product_id

)

select * from orphan_products
