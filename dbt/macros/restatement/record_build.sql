{#-
  After a mart was built: what from, unless that is on record already. What --empty made is not, so
  that the next build finds another table than the last one left, and rebuilds it.
-#}
{% macro record_build() -%}
    {%- if flags.EMPTY -%}
        {{ return("") }}
    {%- endif -%}
    {%- set builds = model_named("mart_builds") -%}
    insert into {{ builds }}
    select
        plans.*,
        ({{ newest_change(this) }}) as mart_snapshot_id,
        current_timestamp(6) as built_at,
        '{{ invocation_id }}' as invocation_id
    from {{ model_named("mart_plans") }} as plans
    where
        plans.mart = '{{ this.identifier }}'
        and not exists (
            select 1 from {{ builds }} as builds
            where
                builds.mart = plans.mart
                and builds.events_snapshot_id is not distinct from plans.events_snapshot_id
                and builds.products_snapshot_id is not distinct from plans.products_snapshot_id
                and builds.mart_snapshot_id = ({{ newest_change(this) }})
        )
{%- endmacro %}
