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
    {%- set version = " for version as of " ~ snapshot_id if snapshot_id else "" -%}
    {%- if table.type != "cte" and table.limit is not none -%}
        {#- --empty has it in brackets, where the version has to stand too. -#}
        (select * from {{ table.render() }}{{ version }} limit {{ table.limit }})
    {%- else -%}
        {{ table }}{{ version }}
    {%- endif -%}
{%- endmacro %}
