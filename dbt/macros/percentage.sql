{#-
  Exact to two digits, of any two counts; null where there is nothing to take a part of. A part can be
  many times the whole: carts outlive midnight, and views can be lost on their way.
-#}
{% macro percentage(part, whole) -%}
    cast(round(cast({{ part }} as decimal(38, 4)) * 100 / nullif({{ whole }}, 0), 2) as decimal(38, 2))
{%- endmacro %}
