with

changes as (

    select * from {{ pinned(source('staging', 'stg_product_metadata')) }}

),

product_history as (

    select
        product_id,
        row_number() over (
            partition by product_id
            order by updated_at asc, kafka_partition asc, kafka_offset asc
        ) as version_number,
        name,
        category,
        brand,
        price,
        is_deleted,
        updated_at as valid_from,
        lead(updated_at) over (
            partition by product_id
            order by updated_at asc, kafka_partition asc, kafka_offset asc
        ) as valid_to
    from changes

)

select * from product_history
