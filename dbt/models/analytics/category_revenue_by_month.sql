with

revenue as (

    select * from {{ ref('product_category_revenue') }}

),

category_revenue_by_month as (

    select
        cast(date_trunc('month', event_date) as date) as month_start,
        category,
        sum(gross_revenue) as gross_revenue,
        sum(returned_amount) as returned_amount,
        sum(net_revenue) as net_revenue,
        sum(purchase_count) as purchase_count,
        sum(units_sold) as units_sold
    from revenue
    group by 1, 2

)

select * from category_revenue_by_month
