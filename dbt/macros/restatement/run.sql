-- noqa: disable=layout.indent
-- (This file renders nothing, and sqlfluff takes its Jinja for SQL.)
{#- The beginning of each statement of a run: see query-comment in dbt_project.yml. -#}
{% macro run_header() -%}
    {%- set does = "builds" if flags.WHICH in ["build", "run"] else "reads" -%}
    {"app": "dbt", "{{ does }}": "{{ target.database }}.{{ target.schema }}"
{%- endmacro %}


{#-
  Runs before all else. A run that builds looks at staging once, and says from which snapshots its
  marts are made and which of their days are restated. Views over these snapshots and the plan in
  the variable `graph` make models and tests agree, whatever is selected or ingested meanwhile.
-#}
{% macro start_run() -%}
    {%- if execute and flags.WHICH in ["build", "run"] -%}
        {%- do refuse_beside_another_run() -%}
        {%- do drop_leftovers() -%}
        {%- do graph.update({"columns": held_columns()}) -%}
        {%- do create_records() -%}
        {%- do graph.update({"views": held_views()}) -%}
        {%- if restated_marts() | selectattr("unique_id", "in", selected_resources) | list -%}
            {%- set sources = staged_versions() -%}
            {%- do pin(sources) -%}
            {%- do graph.update({"plan": planned(sources)}) -%}
        {%- endif -%}
    {%- elif execute and target.name == "dev" -%}
        {%- do drop_leftovers() -%}
    {%- endif -%}
{%- endmacro %}


{#- Runs after all else: a later run need not wait until this one is taken for dead. -#}
{% macro end_run(results) -%}
    {%- if execute -%}
        {%- do record_tests(results) -%}
        {%- do record_views(results) -%}
        {%- do say_that_the_run_is_over() -%}
    {%- endif -%}
{%- endmacro %}


{#-
  Trino's concurrent MERGEs can double rows (trinodb/trino#31072), so one run builds at a time. The
  lock is Trino's own list of queries: every statement of dbt begins with the header of its run, so
  nothing is left behind, and a run that was killed holds it only as long as it can still commit.
-#}
{% macro refuse_beside_another_run() %}
    {%- set find_other -%}
        with runs as (
            select
                regexp_extract(query, '"invocation_id": "([^"]+)"', 1) as run,
                max("user") as trino_user,
                min(created) as started_at,
                max(coalesce("end", current_timestamp)) as heard_at,
                bool_or(query like '%' || {{ over() }} || '%') as is_over
            from system.runtime.queries
            where starts_with(query, '/* {{ run_header() }}')
            group by 1
        )

        select
            other.trino_user,
            other.run,
            date_format(other.started_at at time zone 'UTC', '%H:%i:%s'),
            date_diff('second', other.heard_at, current_timestamp)
        from runs as other
        inner join runs as this
            on this.run = '{{ invocation_id }}'
        where
            not other.is_over
            and other.heard_at > current_timestamp - interval '{{ silent_seconds() }}' second
            and (other.started_at, other.run) < (this.started_at, this.run)
        order by other.started_at
        limit 1
    {%- endset -%}
    {%- for trino_user, run, started_at, silence in run_query(find_other).rows -%}
        {%- do refuse_to_build(
            "another run builds these marts: " ~ run ~ " of " ~ trino_user ~ ", since "
            ~ started_at ~ " UTC, heard of " ~ silence ~ " s ago. Wait until it ends; if it was"
            " killed, it counts as dead after " ~ silent_seconds() ~ " s of silence"
        ) -%}
    {%- endfor -%}
{% endmacro %}


{#- A live dbt is never silent for so long: it asks Trino, or waits for an answer. -#}
{% macro silent_seconds() -%}
    30
{%- endmacro %}


{#- SQL of the text that ends a run; in two parts, as the query that looks for it must lack it. -#}
{% macro over() -%}
    'this run ' || 'is over'
{%- endmacro %}


{#- Ends a run at its beginning, which no on-run-end follows. -#}
{% macro refuse_to_build(reason) %}
    {%- do say_that_the_run_is_over() -%}
    {{ exceptions.raise_compiler_error(reason) }}
{% endmacro %}


{% macro say_that_the_run_is_over() %}
    {%- do run_query("select 'this run is over'") -%}
{% endmacro %}
