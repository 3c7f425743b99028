{#-
  Trino's date_diff drops microseconds before it subtracts, so 59.9999 seconds can count as a
  minute. The sum on the right keeps them.
-#}
{% macro whole_minutes(started_at, ended_at) -%}
    {%- set minutes = "date_diff('minute', " ~ started_at ~ ", " ~ ended_at ~ ")" -%}
    {{ minutes }} - if({{ started_at }} + {{ minutes }} * interval '1' minute > {{ ended_at }}, 1, 0)
{%- endmacro %}
