with

sales as (

    select * from {{ ref('sales') }}

),

products as (

    select * from {{ ref('products') }}

),

categorized_sales as (

    select
        sales.*,
        coalesce(products.category, 'Unknown product') as category
    from sales
    left join products
        on sales.product_id = products.product_id

),

product_category_revenue as (

    {{ revenue_of('categorized_sales', 'category') }}

)

select * from product_category_revenue
