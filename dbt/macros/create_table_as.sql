{#-
  dbt-trino's own makes two statements for a model with an enforced contract, CREATE and INSERT, and
  readers would see an empty table in between. Here names and types are compared before, and the
  table comes into being at once. What CREATE TABLE AS can't state, NOT NULL, the tests do.
-#}
{% macro trino__create_table_as(temporary, relation, sql, on_exists=none) -%}
    {%- if config.get("contract").enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
    {%- endif -%}
    {%- set replaces = "or replace " if on_exists == "replace" else "" -%}
    {%- set skips = "if not exists " if on_exists == "skip" else "" -%}
    create {{ replaces }}table {{ skips }}{{ relation }}
    {{ comment(model.get("description")) }}
    {{ properties(temporary) }}
    as (
        {{ sql }}
    )
{%- endmacro %}
