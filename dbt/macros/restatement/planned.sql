{#-
  What a run does to each restated mart, by name: `rebuild_reason`, in words, if all of it is made
  again, else the `days` to restate. Beside it the days that the run's tests look at.
-#}
{% macro planned(sources) %}
    {%- set builds = last_builds() -%}
    {%- set marts = {} -%}
    {%- for node in restated_marts() -%}
        {%- for source in followed(node) if source not in sources -%}
            {%- do refuse_to_build(
                node.name ~ " follows staging." ~ source ~ ", which does not exist. Run"
                " `spark-submit jobs/ingest.py`, or correct restated_from or looks_up in its meta"
            ) -%}
        {%- endfor -%}
        {%- set build = builds.get(node.name, {}) -%}
        {%- set digest = definition(node.unique_id) -%}
        {%- set reason = rebuild_reason(node, build, digest, sources) -%}
        {%- do marts.update({node.name: {
            "node": node,
            "build": build,
            "time": sources[node.config.meta.restated_from].time,
            "rebuild_reason": reason,
            "definition": digest,
            "days": [],
        }}) -%}
    {%- endfor -%}
    {%- for name, day in rows_of_all(changes_of(marts, sources)) -%}
        {%- do marts[name].days.append(day) -%}
    {%- endfor -%}
    {%- for mart in marts.values() -%}
        {%- set days = mart.days | unique | sort | list -%}
        {%- set most = var("most_days_to_restate") -%}
        {%- if days | length > most -%}
            {%- set reason = days | length ~ " days were touched, more than " ~ most -%}
            {%- do mart.update({"rebuild_reason": reason}) -%}
        {%- endif -%}
        {%- do mart.update({"days": none if mart.rebuild_reason else days}) -%}
    {%- endfor -%}
    {%- set turn = days_in_turn(sources) -%}
    {{ return({
        "sources": sources,
        "marts": marts,
        "turn": turn,
        "tested_days": days_to_test(marts, turn),
    }) }}
{% endmacro %}


{#- Of this run, or none: in a unit test, `dbt compile` and `dbt test`. -#}
{% macro plan_of(mart) %}
    {{ return(graph.get("plan", {}).get("marts", {}).get(mart) if execute) }}
{% endmacro %}


{% macro restated_marts() %}
    {%- set nodes = graph.nodes.values() if execute else [] -%}
    {{ return(nodes | selectattr("config.materialized", "equalto", "restated") | list) }}
{% endmacro %}


{#- Queries of (mart, touched day), a query for each comparison that is needed. -#}
{% macro changes_of(marts, sources) %}
    {%- set queries = {} -%}
    {%- for name, mart in marts.items() if not mart.rebuild_reason -%}
        {%- for source in followed(mart.node) -%}
            {%- set version = sources[source] -%}
            {%- set since = mart.build.source_snapshots[source] -%}
            {%- if since == version.snapshot_id -%}
            {%- elif source == mart.node.config.meta.restated_from -%}
                {%- set compared = days_recounted if version.past[since | string] else days_changed -%}
                {%- do queries.setdefault(compared(version, since), []).append(name) -%}
            {%- else -%}
                {%- set key = mart.node.config.meta.looks_up[source] -%}
                {%- set days = days_looked_up(mart.build.table, key, version, since) -%}
                {%- do queries.setdefault(days, []).append(name) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set named = [] -%}
    {%- for query, names in queries.items() -%}
        {%- do named.append(
            "select mart, cast(event_date as varchar) from (" ~ query ~ ") as changed"
            " cross join unnest(array['" ~ names | join("', '") ~ "']) as marts (mart)"
        ) -%}
    {%- endfor -%}
    {{ return(named) }}
{% endmacro %}


{#- The staging tables whose changes restate days of a mart. -#}
{% macro followed(node) %}
    {%- set meta = node.config.meta -%}
    {{ return([meta.restated_from] + meta.get("looks_up", {}).keys() | list) }}
{% endmacro %}


{#-
  Why a mart can't be brought up to date by restating the days that were touched; none if it can.
-#}
{% macro rebuild_reason(node, build, digest, sources) %}
    {%- if flags.EMPTY -%}
        {{ return("--empty asks for it") }}
    {%- elif flags.FULL_REFRESH -%}
        {{ return("--full-refresh asks for it") }}
    {%- elif not build -%}
        {{ return("no build of it is on record") }}
    {%- elif build.snapshot_now is none or build.snapshot_now != build.mart_snapshot_id -%}
        {{ return("its table is not as the last build on record left it") }}
    {%- elif build.definition != digest -%}
        {{ return("its code, or a variable in it, has changed") }}
    {%- endif -%}
    {%- for source in followed(node) -%}
        {%- set since = build.source_snapshots.get(source) -%}
        {%- set version = sources[source] -%}
        {%- if since != version.snapshot_id and since | string not in version.past -%}
            {{ return("staging." ~ source ~ " can't be compared with the last build's") }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{% endmacro %}
