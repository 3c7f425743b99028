{#- Exact to two digits; null where there is nothing to take a part of. -#}
{% macro percentage(part, whole) -%}
    cast(round(cast({{ part }} as decimal(38, 4)) * 100 / nullif({{ whole }}, 0), 2) as decimal(9, 2))
{%- endmacro %}
