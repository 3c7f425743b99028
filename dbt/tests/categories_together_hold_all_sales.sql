{%- set days = tested_days() -%}

with

marts (mart) as (

    values
    ('product_category_revenue'),
    ('product_category_revenue_as_sold')

),

sold as (

    select
        marts.mart,
        sales.event_date,
        sum(if(sales.is_return, 0, sales.amount)) as gross_revenue,
        sum(if(sales.is_return, sales.amount, 0)) as returned_amount,
        sum(if(sales.is_return, 0, sales.quantity)) as units_sold
    from {{ ref('sales') }} as sales
    cross join marts
    where {{ rows_of(days) }}
    group by marts.mart, sales.event_date

),

categories as (

    select
        'product_category_revenue' as mart,
        event_date,
        gross_revenue,
        returned_amount,
        units_sold
    from {{ ref('product_category_revenue') }}
    where {{ rows_of(days) }}
    union all
    select
        'product_category_revenue_as_sold' as mart,
        event_date,
        gross_revenue,
        returned_amount,
        units_sold
    from {{ ref('product_category_revenue_as_sold') }}
    where {{ rows_of(days) }}

),

shown as (

    select
        mart,
        event_date,
        sum(gross_revenue) as gross_revenue,
        sum(returned_amount) as returned_amount,
        sum(units_sold) as units_sold
    from categories
    group by mart, event_date

)

select
    coalesce(sold.mart, shown.mart) as mart,
    coalesce(sold.event_date, shown.event_date) as event_date,
    sold.gross_revenue as sold,
    shown.gross_revenue as shown
from sold
full outer join shown
    on
        sold.mart = shown.mart
        and sold.event_date = shown.event_date
where
    sold.gross_revenue is distinct from shown.gross_revenue
    or sold.returned_amount is distinct from shown.returned_amount
    or sold.units_sold is distinct from shown.units_sold
