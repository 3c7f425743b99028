{#- A table that dbt writes itself: models/ops/records.yml declares it. -#}
{% macro record_table(name, type="table") %}
    {%- set schema = generate_schema_name("ops", none) -%}
    {{ return(api.Relation.create(target.database, schema, name, type=type)) }}
{% endmacro %}


{#- Makes these tables, and adds the columns that those of an earlier version lack. -#}
{% macro create_records() %}
    {%- for source in graph.sources.values() if source.source_name == "ops_dbt" -%}
        {%- set table = record_table(source.identifier) -%}
        {%- set held = graph.columns.get(table.schema ~ "." ~ table.identifier) -%}
        {%- set declared = [] -%}
        {%- for column in source.columns.values() if column.name not in (held or []) -%}
            {%- do declared.append(
                column.name ~ " " ~ column.data_type ~ " comment " ~ sql_literal(column.description)
            ) -%}
        {%- endfor -%}
        {%- if not held -%}
            {%- do adapter.create_schema(table) -%}
            {%- do run_query(
                "create table if not exists " ~ table ~ " (" ~ declared | join(", ") ~ ") comment "
                ~ sql_literal(source.description)
            ) -%}
        {%- else -%}
            {%- for column in declared -%}
                {%- do run_query("alter table " ~ table ~ " add column " ~ column) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{#-
  Mart -> its newest record, and the newest change that its table has now. Compaction is none.
-#}
{% macro last_builds() %}
    {%- set builds = {} -%}
    {%- set queries = [] -%}
    {%- set find_builds -%}
        select
            mart,
            max_by(cast(source_snapshots as json), built_at),
            max_by(mart_snapshot_id, built_at),
            max_by(definition, built_at)
        from {{ record_table("mart_builds") }}
        where source_snapshots is not null
        group by mart
    {%- endset -%}
    {%- for name, snapshots, mart_snapshot_id, definition in run_query(find_builds).rows -%}
        {%- for node in restated_marts() if node.name == name -%}
            {%- set table = adapter.get_relation(node.database, node.schema, node.alias) -%}
            {%- do builds.update({name: {
                "table": table,
                "source_snapshots": fromjson(snapshots),
                "mart_snapshot_id": mart_snapshot_id,
                "definition": definition,
            }}) -%}
            {%- if table and table.type == "table" -%}
                {%- do queries.append("select '" ~ name ~ "' as mart, (" ~ newest_change(table) ~ ")") -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name, snapshot_now in rows_of_all(queries) -%}
        {%- do builds[name].update({"snapshot_now": snapshot_now}) -%}
    {%- endfor -%}
    {{ return(builds) }}
{% endmacro %}


{% macro newest_change(table) -%}
    select max_by(snapshot_id, committed_at)
    from {{ metadata(table, "snapshots") }}
    where
        operation <> 'replace'
        and snapshot_id in ({{ ancestors(table) }})
{%- endmacro %}


{#- What a mart is built from: the snapshot of each staging table that it follows. -#}
{% macro snapshots_of(plan) %}
    {%- set snapshots = {} -%}
    {%- for source in followed(plan.node) -%}
        {%- do snapshots.update({source: graph.plan.sources[source].snapshot_id}) -%}
    {%- endfor -%}
    {{ return(snapshots) }}
{% endmacro %}


{#-
  After a mart was built: what from. What --empty made is not on record, so that the next build
  finds another table than the last one left, and rebuilds it.
-#}
{% macro record_build(mart, plan) %}
    {%- set names, snapshots, bookmarks = [], [], [] -%}
    {%- for name, snapshot_id in snapshots_of(plan).items() -%}
        {%- do names.append(sql_literal(name)) -%}
        {%- do snapshots.append(sql_literal(snapshot_id)) -%}
        {%- do bookmarks.append(sql_literal(graph.plan.sources[name].bookmark)) -%}
    {%- endfor -%}
    {%- set version = graph.plan.sources[plan.node.config.meta.restated_from] -%}
    {%- set days = "null" if plan.rebuild_reason else "array[" ~ dates(plan.days) ~ "]" -%}
    {%- set insert_record -%}
        insert into {{ record_table("mart_builds") }} (
            mart, rebuild_reason, touched_days, source_snapshots, source_bookmarks, latest_event_at,
            definition, mart_snapshot_id, built_at, invocation_id
        )
        select
            '{{ plan.node.name }}' as mart,
            {{ sql_literal(plan.rebuild_reason) }} as rebuild_reason,
            cast({{ days }} as array(date)) as touched_days,
            cast(map(array[{{ names | join(", ") }}], array[{{ snapshots | join(", ") }}]) as map(varchar, bigint))
                as source_snapshots,
            cast(map(array[{{ names | join(", ") }}], array[{{ bookmarks | join(", ") }}]) as map(varchar, varchar))
                as source_bookmarks,
            cast({{ sql_literal(version.latest_at) }} as timestamp(6) with time zone) as latest_event_at,
            '{{ plan.definition }}' as definition,
            ({{ newest_change(mart) }}) as mart_snapshot_id,
            current_timestamp(6) as built_at,
            '{{ invocation_id }}' as invocation_id
    {%- endset -%}
    {%- if not flags.EMPTY -%}
        {%- do run_query(insert_record) -%}
    {%- endif -%}
{% endmacro %}
