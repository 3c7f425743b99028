{#-
  Exact to two digits, of any two counts, and rounded once: a quotient of four digits that is rounded
  again makes 49.51 of 50 in 101. Null where there is nothing to take a part of. A part can be many
  times the whole: carts outlive midnight, and views can be lost on their way.
-#}
{% macro percentage(part, whole) -%}
    cast({{ part }} as decimal(38, 0)) * 10000 / nullif({{ whole }}, 0) * decimal '0.01'
{%- endmacro %}
