with

changes as (

    select * from {{ source('staging', 'stg_product_metadata') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by product_id, is_deleted
            order by updated_at desc, kafka_partition desc, kafka_offset desc
        ) as recency,
        first_value(is_deleted) over (
            partition by product_id
            order by updated_at desc, kafka_partition desc, kafka_offset desc
        ) as is_deleted_now
    from changes

),

products as (

    select
        product_id,
        name,
        coalesce(category, 'Uncategorized') as category,
        brand,
        price,
        updated_at,
        is_deleted_now as is_deleted
    from ranked
    where
        not is_deleted
        and recency = 1

)

select * from products
