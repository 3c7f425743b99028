{% macro sql_literal(value) -%}
    {%- if value is string -%}
        '{{ value | replace("'", "''") }}'
    {%- else -%}
        {{ "null" if not value else value }}
    {%- endif -%}
{%- endmacro %}
