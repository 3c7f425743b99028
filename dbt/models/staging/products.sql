with

changes as (

    select * from {{ pinned(source('staging', 'stg_product_metadata')) }}

),

products as (

    {{ latest_products('changes') }}

)

select * from products
