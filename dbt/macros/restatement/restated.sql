{#- The filter of a mart's rows by day: in a run that restates it, to the days that it restates. -#}
{% macro in_restated_days() -%}
    {%- if execute -%}
        {%- set plan = plan_of(model.name) or {} -%}
        {{ events_of(restated_days(model.name), plan.get("time", "event_timestamp")) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{#- The days of a mart that this run restates; none for all. -#}
{% macro restated_days(mart) %}
    {%- set plan = plan_of(mart) -%}
    {{ return(plan.days if plan else none) }}
{% endmacro %}


{#-
  A table whose days are restated: those that were touched become what the model says of them, by
  one statement, or all of it is made again by one. Readers see the rows before it or those after
  it. A table of which no day was touched costs nothing. docs/marts.md has the rules.
-#}
{% materialization restated, adapter="trino" %}
    {%- set mart = this.incorporate(type="table") -%}
    {%- set plan = plan_of(model.name) -%}
    {%- set grain = config.require("unique_key") -%}
    {%- do run_hooks(pre_hooks) -%}
    {%- if plan.rebuild_reason -%}
        {%- if config.get("full_refresh") == false and plan.build -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ " must be rebuilt (" ~ plan.rebuild_reason ~ "), and its config has"
                " full_refresh: false. Take that out for one run"
            ) }}
        {%- endif -%}
        {%- do log(model.name ~ " is rebuilt in full: " ~ plan.rebuild_reason, info=true) -%}
        {%- set existing = load_cached_relation(this) -%}
        {%- if existing and existing.type != "table" -%}
            {%- do adapter.drop_relation(existing) -%}
        {%- endif -%}
        {%- set whole = "select * from (" ~ sql ~ ") as model where " ~ if_whole(mart, grain, "true") -%}
        {%- call statement("main") -%}
            {{ create_table_as(false, mart, whole, "replace") }}
        {%- endcall -%}
        {%- do apply_grants(mart, config.get("grants"), should_revoke=true) -%}
        {%- do record_build(mart, plan) -%}
        {%- do describe_columns(mart, {}) -%}
    {%- elif plan.days -%}
        {%- do log(model.name ~ ": " ~ plan.days | join(", ") ~ " to restate", info=true) -%}
        {%- call statement("main") -%}
            {{ merge_of_days(mart, sql, model.columns.keys() | list, grain, plan.days) }}
        {%- endcall -%}
        {%- do record_build(mart, plan) -%}
    {%- else -%}
        {%- do log(model.name ~ ": no day to restate", info=true) -%}
        {%- call noop_statement("main", "NO CHANGE") -%}{%- endcall -%}
        {%- if plan.build.source_snapshots != snapshots_of(plan) -%}
            {%- do record_build(mart, plan) -%}
        {%- endif -%}
    {%- endif -%}
    {%- do run_hooks(post_hooks) -%}
    {{ return({"relations": [mart]}) }}
{% endmaterialization %}


{#- Rows that stay as they are are not written. -#}
{% macro merge_of_days(mart, sql, columns, grain, days) -%}
    {%- set others = columns | reject("in", grain) | list -%}
    merge into {{ mart }} as mart
    using (
        select
            {{ each(grain, "coalesce(fresh.?, held.?) as ?", ", ") }},
            {{ each(others, "fresh.?", ", ") }},
            fresh.is_there
        from (
            select *, true as is_there from ({{ sql }}) as model
            where {{ if_whole(mart, grain, "event_date in (" ~ dates(days) ~ ")") }}
        ) as fresh
        full outer join (
            select *, true as is_there from {{ mart }}
            where event_date in ({{ dates(days) }})
        ) as held
            on {{ each(grain, "fresh.? = held.?", " and ") }}
        where
            fresh.is_there is null
            or held.is_there is null
            or {{ each(others, "fresh.? is distinct from held.?", " or ") }}
    ) as change
        on
            {{ each(grain, "mart.? = change.?", " and ") }}
            and mart.event_date in ({{ dates(days) }})
    when matched and change.is_there is null then delete
    when matched then update set {{ each(others, "? = change.?", ", ") }}
    when not matched then insert ({{ columns | join(", ") }})
        values ({{ each(columns, "change.?", ", ") }})
{%- endmacro %}


{#-
  The condition, for a row with its grain. One without fails the query: a null in the grain equals no
  row, so it would come again with each build. One expression, as Trino tries those of an AND in any
  order.
-#}
{% macro if_whole(mart, grain, condition) -%}
    if(
        {{ each(grain, "? is null", " or ") }},
        fail('{{ mart.identifier }} has a row without one of {{ grain | join(", ") }}'),
        {{ condition }}
    )
{%- endmacro %}


{#- SQL with each of these columns in the place of its question marks. -#}
{% macro each(columns, sql, separator) -%}
    {%- for column in columns -%}
        {{ sql | replace("?", column) }}{{ separator if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
