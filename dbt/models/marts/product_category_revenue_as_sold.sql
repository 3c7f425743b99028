with

sales as (

    select * from {{ ref('sales') }}

),

product_category_revenue_as_sold as (

    {{ revenue_of('sales', 'category_at_sale') }}

)

select * from product_category_revenue_as_sold
