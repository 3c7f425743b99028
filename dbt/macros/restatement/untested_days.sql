{#-
  Days of a mart that its tests look at, none for all: in `dbt build`, those that were built since
  all tests last passed. So a test that failed, or never ran, is not forgotten by the next run.
-#}
{% macro untested_days(mart) %}
    {%- if not execute or flags.WHICH != "build" -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set find_days -%}
        select
            coalesce(bool_or(touched_days is null), true),
            array_join(array_sort(array_distinct(flatten(array_agg(touched_days)))), ',')
        from (
            select touched_days
            from {{ model_named("mart_plans") }}
            where mart = '{{ mart }}'
            union all
            select touched_days
            from ({{ untested_builds() }})
            where mart = '{{ mart }}'
        )
    {%- endset -%}
    {%- set all_days, listed = run_query(find_days).rows[0] -%}
    {%- set days = listed.split(",") if listed else [] -%}
    {%- set is_few = days | length <= var("most_days_to_restate") -%}
    {{ return(days if is_few and not all_days else none) }}
{% endmacro %}


{% macro untested_builds() -%}
    select
        mart,
        touched_days
    from {{ model_named("mart_builds") }}
    where
        built_at > coalesce(
            (select max(tested_at) from {{ model_named("mart_tests") }}),
            timestamp '1970-01-01 00:00:00 UTC'
        )
{%- endmacro %}


{#-
  What dbt asks of each generic test: the rows to look at, also those of its config `where`. A row
  without a day is looked at each time, as it is in none.
-#}
{% macro trino__get_where_subquery(relation) %}
    {%- set name = relation.identifier -%}
    {%- set filters = ["(" ~ (config.get("where") or "true") ~ ")"] -%}
    {%- if name == "user_events" -%}
        {#- This model counts events of each kind, so its days are all on which any changed. -#}
        {%- set days = events_of(untested_days("daily_product_activity")) -%}
        {%- do filters.append("(" ~ days ~ " or event_timestamp is null)") -%}
    {%- elif name in restated_marts() | map(attribute="name") -%}
        {%- do filters.append("(" ~ rows_of(untested_days(name)) ~ " or event_date is null)") -%}
    {%- endif -%}
    {{ return("(select * from " ~ relation ~ " where " ~ filters | join(" and ") ~ ") as tested") }}
{% endmacro %}


{#-
  After a run: that all tests of the project passed in it, if there was anything to test. Those of
  --empty looked at nothing.
-#}
{% macro record_tests(results) %}
    {%- if execute and not flags.EMPTY -%}
        {%- set passed = results
            | selectattr("status", "in", ["pass", "warn"])
            | map(attribute="node.unique_id")
            | list -%}
        {%- set tests = graph.nodes.values() | selectattr("resource_type", "equalto", "test") -%}
        {%- if not tests | map(attribute="unique_id") | reject("in", passed) | list %}
            insert into {{ model_named("mart_tests") }}
            select
                current_timestamp(6),
                '{{ invocation_id }}'
            where exists ({{ untested_builds() }})
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
