{{ config(post_hook='{{ report_rebuilds() }}') }}
-- depends_on: {{ ref('mart_builds') }}
-- depends_on: {{ ref('mart_tests') }}
{%- set events = staged_version(
    source('staging', 'stg_user_events'), 'user-events', 'event_timestamp'
) -%}
{%- set products = staged_version(
    source('staging', 'stg_product_metadata'), 'product-metadata', 'updated_at'
) -%}
{%- set marts = planned_marts(events, products) %}

with

marts (mart, rebuild_reason, definition) as (

    values
    {% for mart in marts -%}
    ({{ sql_literal(mart.name) }}, {{ sql_literal(mart.rebuild_reason) }}, '{{ mart.definition }}'),
    {% endfor -%}
    (null, null, null)

),

touched (mart, event_date) as (

    {% for since, same in marts | selectattr('events_since') | groupby('events_since') -%}
    select
        marts.mart,
        days.event_date
    from ({{ days_changed(events.table, since, events.snapshot_id) }}) as days
    cross join
        unnest(array['{{ same | map(attribute='name') | join("', '") }}']) as marts (mart)
    union
    {% endfor -%}
    {% for mart in marts | selectattr('products_since') -%}
    select
        '{{ mart.name }}',
        event_date
    from ({{ days_of_products_changed(products, mart) }})
    union
    {% endfor -%}
    select
        cast(null as varchar),
        cast(null as date)
    where false

),

days (mart, touched_days) as (

    select
        mart,
        array_sort(array_agg(event_date))
    from touched
    group by mart

),

plans (mart, rebuild_reason, touched_days, definition) as (

    select
        marts.mart,
        coalesce(
            marts.rebuild_reason,
            if(
                cardinality(days.touched_days) > {{ var("most_days_to_restate") }},
                cast(cardinality(days.touched_days) as varchar)
                || ' days were touched, more than {{ var("most_days_to_restate") }}'
            )
        ),
        coalesce(days.touched_days, cast(array[] as array(date))),
        marts.definition
    from marts
    left join days
        on marts.mart = days.mart
    where marts.mart is not null

),

mart_plans as (

    select
        cast(mart as varchar) as mart,
        cast(rebuild_reason as varchar) as rebuild_reason,
        if(rebuild_reason is null, touched_days) as touched_days,
        cast({{ sql_literal(events.snapshot_id) }} as bigint) as events_snapshot_id,
        cast({{ sql_literal(products.snapshot_id) }} as bigint) as products_snapshot_id,
        cast({{ sql_literal(events.bookmark) }} as varchar) as events_bookmark,
        cast({{ sql_literal(products.bookmark) }} as varchar) as products_bookmark,
        cast({{ sql_literal(events.latest_at) }} as timestamp(6) with time zone) as latest_event_at,
        '{{ var("reporting_time_zone") }}' as reporting_time_zone,
        cast(definition as varchar) as definition
    from plans

)

select * from mart_plans
