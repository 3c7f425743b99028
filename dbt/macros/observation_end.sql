{#- The day up to which customers are observed: a variable, or the latest day with a sale. -#}
{% macro observation_end(sales) -%}
    {%- if var("observation_end") -%}
        date '{{ var("observation_end") }}'
    {%- else -%}
        max({{ sales }}.event_date) over ()
    {%- endif -%}
{%- endmacro %}
