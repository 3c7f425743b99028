with

changes as (

    select * from
        {{ as_planned(source('staging', 'stg_product_metadata'), 'products_snapshot_id') }}

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
