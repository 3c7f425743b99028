{#-
  What a staging table holds now: its snapshot, the bookmark of its topic and the latest value of a
  time column. From metadata alone, and by one query, so that they belong to each other.
-#}
{% macro staged_version(table, topic, time_column) %}
    {%- if not execute -%}
        {{ return({"table": table}) }}
    {%- endif -%}
    {%- set bookmark = "lakehouse.bookmark." ~ topic -%}
    {%- set find_version -%}
        select
            refs.snapshot_id,
            (
                select max_by(element_at(snapshots.summary, '{{ bookmark }}'), snapshots.committed_at)
                from {{ metadata(table, "snapshots") }} as snapshots
                where
                    element_at(snapshots.summary, '{{ bookmark }}') is not null
                    and snapshots.snapshot_id in ({{ ancestors(table) }})
            ) as bookmark,
            (
                select cast(max(data.{{ time_column }}.max) as varchar)
                from {{ metadata(table, "partitions") }}
            ) as latest_at
        from {{ metadata(table, "refs") }} as refs
        where refs.name = 'main'
    {%- endset -%}
    {%- set found = run_query(find_version).rows -%}
    {%- set row = found[0] if found else [none, none, none] -%}
    {{ return({"table": table, "snapshot_id": row[0], "bookmark": row[1], "latest_at": row[2]}) }}
{% endmacro %}


{% macro metadata(table, kind) -%}
    {{ table.database }}.{{ table.schema }}."{{ table.identifier }}${{ kind }}"
{%- endmacro %}


{#- Snapshots that the current one of a table was made from, itself included. -#}
{% macro ancestors(table) -%}
    select snapshot_id from {{ metadata(table, "history") }} where is_current_ancestor
{%- endmacro %}
