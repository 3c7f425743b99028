{#- The filter of rows by day; none stands for all days. -#}
{% macro rows_of(days) -%}
    {%- if days is none -%}
        true
    {%- else -%}
        event_date in ({{ dates(days) }})
    {%- endif -%}
{%- endmacro %}


{#-
  The same of a view over staging, as bounds of its time column too: they keep Iceberg from opening
  the files of other days.
-#}
{% macro events_of(days, time="event_timestamp") -%}
    {{ rows_of(days) }}
    {%- if days is not none -%}
        {#- A day of another zone lies in up to three days of UTC. -#}
        {%- set margin = 0 if var("reporting_time_zone") == "UTC" else 1 -%}
        {%- set times = ["false"] -%}
        {%- for day in days -%}
            {%- set midnight = "timestamp '" ~ day ~ " 00:00:00 UTC'" -%}
            {%- do times.append(
                time ~ " >= " ~ midnight ~ " - interval '" ~ margin ~ "' day"
                ~ " and " ~ time ~ " < " ~ midnight ~ " + interval '" ~ (margin + 1) ~ "' day"
            ) -%}
        {%- endfor %}
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


{#- The days, and so many before and after each; all days if these are too many for SQL. -#}
{% macro days_around(days, margin) %}
    {%- if days is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set around = [] -%}
    {%- for day in days -%}
        {%- set middle = modules.datetime.date.fromisoformat(day) -%}
        {%- for offset in range(-margin, margin + 1) -%}
            {%- do around.append((middle + modules.datetime.timedelta(days=offset)) | string) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set around = around | unique | sort | list -%}
    {{ return(around if around | length <= var("most_days_to_restate") else none) }}
{% endmacro %}


{#- As the ingest has it: lakehouse/settings.py. -#}
{% macro duplicate_horizon_days() %}
    {{ return(env_var("DUPLICATE_HORIZON_DAYS", "7") | int) }}
{% endmacro %}
