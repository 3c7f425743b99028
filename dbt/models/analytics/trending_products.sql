with

views as (

    select * from {{ ref('top_viewed_products') }}

),

newest as (

    select max(event_date) as event_date from views

),

counts as (

    select
        views.product_id,
        -- The same on all days: a mart shows a product's latest name and category.
        max(views.name) as name,
        max(views.category) as category,
        coalesce(sum(views.view_count) filter (
            where views.event_date > newest.event_date - interval '7' day
        ), 0) as views_of_7_days,
        coalesce(sum(views.view_count) filter (
            where views.event_date <= newest.event_date - interval '7' day
        ), 0) as views_of_7_days_before
    from views
    cross join newest
    where views.event_date > newest.event_date - interval '14' day
    group by views.product_id

),

trending_products as (

    select
        product_id,
        name,
        category,
        views_of_7_days,
        views_of_7_days_before,
        views_of_7_days - views_of_7_days_before as views_gained,
        row_number() over (
            order by views_of_7_days - views_of_7_days_before desc, product_id asc
        ) as trend_rank
    from counts

)

select * from trending_products
