{#-
  dbt's own macro would put marts_marts where we say marts. The target dev has schemas of its own,
  so that a developer's marts are not everybody's.
-#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if target.name == "dev" -%}
        {{ target.schema }}_{{ custom_schema_name or "marts" }}
    {%- else -%}
        {{ (custom_schema_name or target.schema) | trim }}
    {%- endif -%}
{%- endmacro %}
