with

sales as (

    select * from {{ ref('sales') }}

),

baskets as (

    select distinct
        order_id,
        product_id
    from sales
    where
        not is_return
        and order_id is not null

),

totals as (

    select count(distinct order_id) as order_count from baskets

),

products as (

    select
        product_id,
        count(*) as order_count
    from baskets
    group by product_id

),

pairs as (

    select
        bought.product_id,
        also.product_id as also_bought,
        count(*) as order_count
    from baskets as bought
    inner join baskets as also
        on
            bought.order_id = also.order_id
            and bought.product_id <> also.product_id
    group by bought.product_id, also.product_id

),

product_pairs as (

    select
        pairs.product_id,
        pairs.also_bought,
        pairs.order_count,
        cast(pairs.order_count as double) / totals.order_count as support,
        cast(pairs.order_count as double) / products.order_count as confidence,
        cast(pairs.order_count as double) * totals.order_count
        / products.order_count / others.order_count as lift
    from pairs
    cross join totals
    inner join products
        on pairs.product_id = products.product_id
    inner join products as others
        on pairs.also_bought = others.product_id

)

select * from product_pairs
