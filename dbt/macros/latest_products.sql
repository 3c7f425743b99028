{#- The change log of products, as some snapshot has it -> the model products. -#}
{% macro latest_products(changes) -%}
    select
        product_id,
        name,
        coalesce(category, 'Uncategorized') as category,
        brand,
        price,
        updated_at,
        is_deleted_now as is_deleted
    from (
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
        from {{ changes }}
    )
    where
        not is_deleted
        and recency = 1
{%- endmacro %}
