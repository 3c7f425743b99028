{#-
  A staging table as of the snapshot that the marts are built from, so that all views, marts and
  tests of a run agree while an ingest goes on beside them.
-#}
{% macro as_planned(table, snapshot_column) -%}
    {%- if not execute -%}
        {%- do ref("mart_plans") -%}
    {%- elif table.type != "cte" -%}
        {%- set plans = load_relation(model_named("mart_plans")) -%}
        {%- if plans -%}
            {%- set find_snapshot = "select max(" ~ snapshot_column ~ ") from " ~ plans -%}
            {%- set snapshot_id = run_query(find_snapshot).rows[0][0] -%}
        {%- endif -%}
    {%- endif -%}
    {{ table }}{% if snapshot_id %} for version as of {{ snapshot_id }}{% endif %}
{%- endmacro %}
