{#-
  Days on which the events of two snapshots differ in what the marts show. It reads the files that
  were added and removed between them, and of those that were rewritten with some rows changed,
  only the days of these rows are returned. Compaction does not count.
-#}
{% macro days_changed(events, since, until) -%}
    select event_date
    from (
        select
            _change_type,
            {{ reporting_date("event_timestamp") }} as event_date,
            checksum(
                row(event_id, user_id, product_id, event_type, event_timestamp, price, quantity)
            ) as content
        from table({{ events.database }}.system.table_changes(
            schema_name => '{{ events.schema }}',
            table_name => '{{ events.identifier }}',
            start_snapshot_id => {{ since }},
            end_snapshot_id => {{ until }}
        ))
        group by 1, 2
    )
    group by event_date
    having
        max(content) filter (where _change_type = 'insert')
        is distinct from max(content) filter (where _change_type = 'delete')
{%- endmacro %}


{#-
  Days on which a mart shows products that have another name or category now. Where a product was
  is known from the last run; days that the events of today add are among days_changed.
-#}
{% macro days_of_products_changed(products, mart) -%}
    select distinct activity.event_date
    from (
        {{ latest_products(products.table ~ " for version as of " ~ mart.products_since) }}
    ) as before
    full outer join (
        {{ latest_products(products.table ~ " for version as of " ~ products.snapshot_id) }}
    ) as now
        on before.product_id = now.product_id
    inner join {{ model_named("daily_product_activity") }} as activity
        on activity.product_id = coalesce(now.product_id, before.product_id)
    where
        {{ mart.shows_products_if }}
        and (
            now.product_id is null
            or before.product_id is null
            or now.name is distinct from before.name
            or now.category is distinct from before.category
        )
{%- endmacro %}
