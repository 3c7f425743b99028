with

changes as (

    select * from
        {{ as_planned(source('staging', 'stg_product_metadata'), 'products_snapshot_id') }}

),

products as (

    {{ latest_products('changes') }}

)

select * from products
