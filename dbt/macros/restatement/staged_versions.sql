{#-
  What each staging table holds now, by name: its snapshot, the bookmark of its topic, the latest
  value of its time column, and the snapshots of past builds that it was made from, with whether
  delete files came later. One query, from metadata alone, so that all belong to each other. A table
  that does not exist is left out.
-#}
{% macro staged_versions() %}
    {%- set versions = {} -%}
    {%- set queries = [] -%}
    {%- for source in graph.sources.values() if source.source_name == "staging" -%}
        {%- set table = adapter.get_relation(source.database, source.schema, source.identifier) -%}
        {%- if table -%}
            {%- set time = source.config.meta.time -%}
            {%- do versions.update({source.name: {"table": table, "time": time}}) -%}
            {%- do queries.append(version_of(source, table)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name, snapshot_id, bookmark, latest_at, past in rows_of_all(queries) -%}
        {%- do versions[name].update({
            "snapshot_id": snapshot_id,
            "bookmark": bookmark,
            "latest_at": latest_at,
            "past": fromjson(past) if past else {},
        }) -%}
    {%- endfor -%}
    {{ return(versions) }}
{% endmacro %}


{% macro version_of(source, table) -%}
    select
        '{{ source.name }}' as name,
        refs.snapshot_id,
        (
            select max_by(element_at(summary, '{{ bookmark_of(source) }}'), committed_at)
            from {{ metadata(table, "snapshots") }}
            where
                element_at(summary, '{{ bookmark_of(source) }}') is not null
                and snapshot_id in ({{ ancestors(table) }})
        ) as bookmark,
        (
            select cast(max(data.{{ source.config.meta.time }}.max) as varchar)
            from {{ metadata(table, "partitions") }}
        ) as latest_at,
        (
            select json_format(cast(map_agg(
                cast(snapshot_id as varchar),
                committed_at < (
                    select coalesce(max(committed_at), timestamp '1970-01-01 00:00:00 UTC')
                    from {{ metadata(table, "snapshots") }}
                    where coalesce(element_at(summary, 'total-delete-files'), '0') <> '0'
                )
            ) as json))
            from {{ metadata(table, "snapshots") }}
            where
                snapshot_id in ({{ ancestors(table) }})
                and snapshot_id in (
                    select element_at(source_snapshots, '{{ source.name }}')
                    from {{ record_table("mart_builds") }}
                )
        ) as past
    from {{ metadata(table, "refs") }} as refs
    where refs.name = 'main'
{%- endmacro %}


{% macro bookmark_of(source) -%}
    lakehouse.bookmark.{{ source.config.meta.topic }}
{%- endmacro %}


{#- The rows of several queries of the same columns, by one statement; of none, no row. -#}
{% macro rows_of_all(queries) %}
    {{ return(run_query(queries | join(" union all ")).rows if queries else []) }}
{% endmacro %}


{% macro metadata(table, kind) -%}
    {{ table.database }}.{{ table.schema }}."{{ table.identifier }}${{ kind }}"
{%- endmacro %}


{#- Snapshots that the current one of a table was made from, itself included. -#}
{% macro ancestors(table) -%}
    select snapshot_id from {{ metadata(table, "history") }} where is_current_ancestor
{%- endmacro %}
