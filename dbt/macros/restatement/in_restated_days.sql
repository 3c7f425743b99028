{#- The filter of a mart's events: in an incremental run, those of the days that it restates. -#}
{% macro in_restated_days() -%}
    {%- if not (execute and is_incremental()) -%}
        true
    {%- else -%}
        {#- Not of `this`, which a unit test has only once the table is there. -#}
        {%- set days = restated_days(model.name) -%}
        {#- A day of another zone lies in up to three days of UTC. Written as times, they keep
            Iceberg from opening the files of the days around. -#}
        {%- set margin = 0 if var("reporting_time_zone") == "UTC" else 1 -%}
        {%- set times = ["false"] -%}
        {%- for day in days -%}
            {%- set midnight = "timestamp '" ~ day ~ " 00:00:00 UTC'" -%}
            {%- do times.append(
                "event_timestamp >= " ~ midnight ~ " - interval '" ~ margin ~ "' day"
                ~ " and event_timestamp < " ~ midnight ~ " + interval '" ~ margin + 1 ~ "' day"
            ) -%}
        {%- endfor -%}
        event_date in ({{ dates(days) }})
        and ({{ times | join(" or ") }})
    {%- endif -%}
{%- endmacro %}


{#- Days as SQL; of none, a date that equals nothing. -#}
{% macro dates(days) -%}
    {%- for day in days -%}
        date '{{ day }}'{{ ", " if not loop.last }}
    {%- else -%}
        null
    {%- endfor -%}
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
