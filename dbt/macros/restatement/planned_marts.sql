{#-
  Every mart, with the reason for which all of it is rebuilt, or else the snapshots that it was
  last built from.
-#}
{% macro planned_marts(events, products) %}
    {%- set marts = [] -%}
    {%- if execute -%}
        {%- set builds = last_builds() -%}
        {%- set comparable = comparable_snapshots(events.table, products.table) -%}
        {%- for node in restated_marts() -%}
            {%- set build = builds.get(node.name, {}) -%}
            {%- set reason = rebuild_reason(node, build, builds, comparable, products) -%}
            {%- set shows_products_if = node.config.meta.get("shows_products_if") -%}
            {%- do marts.append({
                "name": node.name,
                "rebuild_reason": reason,
                "definition": definition(node),
                "events_since": build.events_snapshot_id
                    if not reason and build.events_snapshot_id != events.snapshot_id,
                "products_since": build.products_snapshot_id
                    if not reason and shows_products_if
                    and build.products_snapshot_id != products.snapshot_id,
                "shows_products_if": shows_products_if,
            }) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(marts) }}
{% endmacro %}


{% macro restated_marts() %}
    {%- set nodes = graph.nodes.values() if execute else [] -%}
    {{ return(nodes | selectattr("config.incremental_strategy", "equalto", "restate") | list) }}
{% endmacro %}


{#- A digest of the code of a model, of those that it reads, and of the macros in them. -#}
{% macro definition(node) %}
    {%- set code = [] -%}
    {%- for id in [node.unique_id] + (node.depends_on.nodes | sort) if id in graph.nodes -%}
        {%- do code.append(graph.nodes[id].checksum.checksum) -%}
        {%- set ours = "macro." ~ project_name ~ "." -%}
        {%- for macro in graph.nodes[id].depends_on.macros | sort if macro.startswith(ours) -%}
            {%- do code.append(context[macro | replace(ours, "")].macro.macro_sql) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(local_md5(code | join)) }}
{% endmacro %}


{#- Mart -> its newest record in mart_builds, with the newest change that its table has now. -#}
{% macro last_builds() %}
    {%- set records = model_named("mart_builds") -%}
    {%- set builds = {} -%}
    {%- set find_builds -%}
        select
            mart,
            max_by(events_snapshot_id, built_at) as events_snapshot_id,
            max_by(products_snapshot_id, built_at) as products_snapshot_id,
            max_by(mart_snapshot_id, built_at) as mart_snapshot_id,
            max_by(reporting_time_zone, built_at) as reporting_time_zone,
            max_by(definition, built_at) as definition
        from {{ records }}
        group by mart
    {%- endset -%}
    {%- if load_relation(records) -%}
        {%- for row in run_query(find_builds) -%}
            {%- set table = load_relation(model_named(row[0])) -%}
            {%- do builds.update({row[0]: {
                "events_snapshot_id": row[1],
                "products_snapshot_id": row[2],
                "mart_snapshot_id": row[3],
                "reporting_time_zone": row[4],
                "definition": row[5],
                "mart_snapshot_now": run_query(newest_change(table)).rows[0][0] if table,
            }}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(builds) }}
{% endmacro %}
