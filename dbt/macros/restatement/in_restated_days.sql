{#- The filter of a mart's events: in an incremental run, those of the days that it restates. -#}
{% macro in_restated_days() -%}
    {#- Not of `this`, which a unit test has only once the table is there. -#}
    {{ events_of(restated_days(model.name) if execute and is_incremental() else none) }}
{%- endmacro %}


{#- As mart_plans has them. -#}
{% macro restated_days(mart) %}
    {%- set find_days -%}
        select cast(touched.event_date as varchar)
        from {{ model_named("mart_plans") }} as plans
        cross join unnest(plans.touched_days) as touched (event_date)
        where plans.mart = '{{ mart }}'
        order by touched.event_date
    {%- endset -%}
    {{ return(run_query(find_days).columns[0].values() | map("string") | list) }}
{% endmacro %}
