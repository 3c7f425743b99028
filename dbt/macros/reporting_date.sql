{% macro reporting_date(column) -%}
    cast({{ column }} at time zone '{{ var("reporting_time_zone") }}' as date)
{%- endmacro %}
