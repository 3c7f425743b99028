{#-
  The incremental strategy `restate`: days that were touched become what the model says of them, by
  one statement. That is one commit: readers see the rows before it or those after it. Rows that
  stay as they are are not written.
-#}
{% macro get_incremental_restate_sql(arguments) %}
    {%- set columns = arguments["dest_columns"] | map(attribute="name") | list -%}
    {%- set days = restated_days(this.identifier) -%}
    {%- do log(
        this.identifier ~ ": " ~ (days | join(", ") or "no day") ~ " to restate", info=true
    ) -%}
    {{ return(merge_of_days(
        arguments["target_relation"],
        arguments["temp_relation"],
        columns,
        arguments["unique_key"],
        days
    )) }}
{% endmacro %}


{% macro merge_of_days(mart, model, columns, grain, days) -%}
    {%- set others = columns | reject("in", grain) | list -%}
    merge into {{ mart }} as mart
    using (
        select
            {{ each(grain, "coalesce(fresh.?, held.?) as ?", ", ") }},
            {{ each(others, "fresh.?", ", ") }},
            fresh.is_there
        from (
            select *, true as is_there from {{ model }}
            where {{ is_restatable(mart, grain, days) }}
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
  Whether a row of the model is of a day that is restated. One that forgets in_restated_days() has
  the others too. A null in the grain equals no row, so it would come again with each build.
-#}
{% macro is_restatable(mart, grain, days) -%}
    if(
        {{ each(grain, "? is null", " or ") }},
        fail('{{ mart.identifier }} has a row without one of {{ grain | join(", ") }}'),
        event_date in ({{ dates(days) }})
    )
{%- endmacro %}


{#- SQL with each of these columns in the place of its question marks. -#}
{% macro each(columns, sql, separator) -%}
    {%- for column in columns -%}
        {{ sql | replace("?", column) }}{{ separator if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{#- dbt-trino would write the new rows into a table first, in case that they are read twice. -#}
{% macro get_incremental_tmp_relation_type(strategy, unique_key, language) -%}
    {%- if strategy == "restate" -%}
        {{ return("view") }}
    {%- endif -%}
    {{ return(dbt.get_incremental_tmp_relation_type(strategy, unique_key, language)) }}
{% endmacro %}
