{#-
  A run that was killed, and a unit test whose SQL fails, leave a table __dbt_tmp behind, on
  which the next run stops: it already exists. So one run at a time.
-#}
{% macro drop_leftovers() %}
    {%- if execute -%}
        {%- set find_leftovers -%}
            select
                table_schema,
                table_name,
                table_type
            from information_schema.tables
            where
                table_schema in ('{{ our_schemas() }}')
                and table_name like '%$_$_dbt$_tmp' escape '$'
        {%- endset -%}
        {%- for schema, name, type in run_query(find_leftovers) -%}
            {%- set leftover = api.Relation.create(
                database=target.database,
                schema=schema,
                identifier=name,
                type="view" if type == "VIEW" else "table",
            ) -%}
            {%- do log("Dropping " ~ leftover ~ ", left by an earlier run") -%}
            {%- do adapter.drop_relation(leftover) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
