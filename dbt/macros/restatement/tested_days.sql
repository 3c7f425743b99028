{#-
  Days that the tests of `dbt build` look at, none for all: those that it restates, those that were
  built since all tests last passed, and the next few of history, in turn. So a test that failed or
  never ran is not forgotten, and a day that was missed is found once its turn comes.
-#}
{% macro days_to_test(marts, turn) %}
    {%- set days = [] -%}
    {%- for mart in marts.values() if mart.node.unique_id in selected_resources -%}
        {%- if mart.rebuild_reason -%}
            {{ return(none) }}
        {%- endif -%}
        {%- do days.extend(mart.days) -%}
    {%- endfor -%}
    {%- for day in run_query(untested_days()).columns[0].values() -%}
        {%- if day is none -%}
            {{ return(none) }}
        {%- endif -%}
        {%- do days.append(day) -%}
    {%- endfor -%}
    {%- set days = (days + turn) | unique | sort | list -%}
    {{ return(days if days | length <= var("most_days_to_restate") else none) }}
{% endmacro %}


{#- None stands for all days. -#}
{% macro untested_days() -%}
    select distinct cast(built.event_date as varchar)
    from {{ record_table("mart_builds") }} as builds
    cross join unnest(coalesce(builds.touched_days, array[null])) as built (event_date)
    where builds.built_at > coalesce(({{ last_test("tested_at") }}), timestamp '1970-01-01 00:00:00 UTC')
{%- endmacro %}


{% macro last_test(column) -%}
    select max_by({{ column }}, tested_at) from {{ record_table("mart_tests") }}
{%- endmacro %}


{#- The next days of staging's history that tests look at once more, after where they ended. -#}
{% macro days_in_turn(sources) %}
    {%- set queries = [] -%}
    {%- for name in restated_marts() | map(attribute="config.meta.restated_from") | unique -%}
        {%- set version = sources[name] -%}
        {%- do queries.append(
            "select cast(data." ~ version.time ~ ".min as date) from "
            ~ metadata(version.table, "partitions")
        ) -%}
    {%- endfor -%}
    {%- set find_days -%}
        with days (event_date) as (
            {{ queries | join(" union ") }}
        )

        select cast(event_date as varchar)
        from days
        where event_date is not null
        order by
            event_date <= coalesce(({{ last_test("looked_until") }}), date '0001-01-01'),
            event_date
        limit {{ var("days_to_test_again") }}
    {%- endset -%}
    {{ return(run_query(find_days).columns[0].values() | list) }}
{% endmacro %}


{#- The days that tests of this run look at; none for all, as in `dbt test`. -#}
{% macro tested_days() %}
    {{ return(graph.get("plan", {}).get("tested_days") if execute) }}
{% endmacro %}


{#-
  What dbt asks of each generic test: the rows to look at, also those of its config `where`. A row
  without a day is looked at each time, as it is in none.
-#}
{% macro trino__get_where_subquery(relation) %}
    {%- set filters = ["(" ~ (config.get("where") or "true") ~ ")"] -%}
    {%- set name = "model." ~ project_name ~ "." ~ relation.identifier -%}
    {%- set node = graph.nodes.get(name) if execute -%}
    {%- if node and node.config.meta.time -%}
        {%- set days = events_of(tested_days(), node.config.meta.time) -%}
        {%- do filters.append("(" ~ days ~ " or " ~ node.config.meta.time ~ " is null)") -%}
    {%- elif node -%}
        {%- set periods = {"event_date": "day", "week_start": "week", "month_start": "month"} -%}
        {%- for column, period in periods.items() if column in node.columns -%}
            {%- set days = periods_of(tested_days(), column, period) -%}
            {%- do filters.append("(" ~ days ~ " or " ~ column ~ " is null)") -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return("(select * from " ~ relation ~ " where " ~ filters | join(" and ") ~ ") as tested") }}
{% endmacro %}


{#- The filter of rows by the first day of their period. -#}
{% macro periods_of(days, column, period) -%}
    {%- if days is none -%}
        true
    {%- else -%}
        {%- set starts = [] -%}
        {%- for day in days -%}
            {%- do starts.append("date_trunc('" ~ period ~ "', date '" ~ day ~ "')") -%}
        {%- endfor -%}
        {{ column }} in ({{ starts | join(", ") or "null" }})
    {%- endif -%}
{%- endmacro %}


{#-
  After a run: that all tests of the project passed in it. Those of --empty looked at nothing.
-#}
{% macro record_tests(results) %}
    {%- set passed = results
        | selectattr("status", "in", ["pass", "warn"])
        | map(attribute="node.unique_id")
        | list -%}
    {%- set tests = graph.nodes.values() | selectattr("resource_type", "equalto", "test") -%}
    {%- if graph.plan and not flags.EMPTY
        and not tests | map(attribute="unique_id") | reject("in", passed) | list -%}
        {%- set looked_until = graph.plan.turn | last -%}
        {%- do run_query(
            "insert into " ~ record_table("mart_tests")
            ~ " (tested_at, invocation_id, looked_until) select current_timestamp(6), '"
            ~ invocation_id ~ "', cast(" ~ sql_literal(looked_until) ~ " as date)"
        ) -%}
    {%- endif -%}
{% endmacro %}
