{#-
  Views of staging tables as of the snapshots that the marts are built from. Models of dbt read
  these, so that all agree while an ingest goes on.
-#}
{% macro pin(sources) %}
    {%- for name, version in sources.items() -%}
        {%- set view = pinned_view(name) -%}
        {%- set snapshot = version.snapshot_id -%}
        {%- set suffix = " for version as of " ~ snapshot if snapshot else "" -%}
        {%- set sql = "select * from " ~ version.table ~ suffix -%}
        {%- set held = graph.views.get(view.schema ~ "." ~ view.identifier, {}) -%}
        {%- if not held or held.snapshot_id != version.snapshot_id | string -%}
            {%- do run_query("create or replace view " ~ view ~ " as " ~ sql) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{#- What a model reads in place of a staging table: `from {{ pinned(source('staging', ...)) }}`. -#}
{% macro pinned(table) -%}
    {%- if not execute or table.type == "cte" -%}
        {{ table }}
    {%- else -%}
        {#- Of --empty, the source has no rows, and neither has the view. -#}
        {{ pinned_view(table.identifier).incorporate(limit=table.limit) }}
    {%- endif -%}
{%- endmacro %}


{% macro pinned_view(name) %}
    {{ return(record_table(name ~ "_as_built", type="view")) }}
{% endmacro %}
