{#- A view is made again only if its definition has changed, or somebody else changed the view. -#}
{% materialization view, adapter="trino" %}
    {%- set view = this.incorporate(type="view") -%}
    {%- set name = view.schema ~ "." ~ view.identifier -%}
    {%- set held = graph.get("views", {}).get(name, {}) -%}
    {%- set is_asked_for = flags.FULL_REFRESH or flags.EMPTY -%}
    {%- if held.definition == definition(model.unique_id) and not is_asked_for -%}
        {{ run_hooks(pre_hooks) }}
        {%- call noop_statement("main", "NO CHANGE") -%}{%- endcall -%}
        {%- do describe_columns(view, graph.columns.get(name, {})) -%}
        {{ run_hooks(post_hooks) }}
        {{ return({"relations": [view]}) }}
    {%- endif -%}
    {%- set made = create_or_replace_view() -%}
    {%- do persist_docs(view, model) -%}
    {%- do describe_columns(view, {}) -%}
    {{ return(made) }}
{% endmaterialization %}


{#-
  Views that are as dbt recorded them, by schema and name: their definitions, and of a pinned view
  the snapshot that it names.
-#}
{% macro held_views() %}
    {%- set held = {} -%}
    {%- set find_views -%}
        select
            views.name,
            views.snapshot_id,
            records.definition
        from (
            select
                table_schema || '.' || table_name as name,
                regexp_extract(view_definition, 'VERSION AS OF (\d+)', 1) as snapshot_id,
                {{ digest_of_view() }} as digest
            from information_schema.views
            where table_schema in ('{{ our_schemas() }}')
        ) as views
        left join (
            select
                view_name,
                max_by(definition, made_at) as definition,
                max_by(digest, made_at) as digest
            from {{ record_table("mart_views") }}
            group by view_name
        ) as records
            on
                views.name = records.view_name
                and views.digest = records.digest
    {%- endset -%}
    {%- for name, snapshot_id, definition in run_query(find_views).rows -%}
        {%- do held.update({name: {"snapshot_id": snapshot_id, "definition": definition}}) -%}
    {%- endfor -%}
    {{ return(held) }}
{% endmacro %}


{#- The columns of all that dbt may have made, by schema and name, each with its comment. -#}
{% macro held_columns() %}
    {%- set held = {} -%}
    {%- set find_columns -%}
        select
            table_schem || '.' || table_name,
            json_format(cast(map_agg(column_name, remarks) as json))
        from system.jdbc.columns
        where
            table_cat = '{{ target.database }}'
            and table_schem in ('{{ our_schemas() }}')
        group by 1
    {%- endset -%}
    {%- for name, columns in run_query(find_columns).rows -%}
        {%- do held.update({name: fromjson(columns)}) -%}
    {%- endfor -%}
    {{ return(held) }}
{% endmacro %}


{% macro our_schemas() -%}
    {%- set schemas = graph.nodes.values() | map(attribute="schema") | list -%}
    {{ (schemas + [record_table("").schema]) | unique | join("', '") }}
{%- endmacro %}


{% macro digest_of_view() -%}
    to_hex(md5(to_utf8(view_definition)))
{%- endmacro %}


{#- After a run: the views that it made, by one statement. Those of --empty have no rows. -#}
{% macro record_views(results) %}
    {%- set made = [] -%}
    {%- for result in results if result.status == "success" and not flags.EMPTY -%}
        {%- set node = result.node -%}
        {%- if node.config.materialized == "view" and result.message != "NO CHANGE" -%}
            {%- do made.append(
                "('" ~ node.schema ~ "." ~ node.alias ~ "', '" ~ definition(node.unique_id) ~ "')"
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if made -%}
        {%- do run_query(
            "insert into " ~ record_table("mart_views") ~ " select made.view_name, made.definition, "
            ~ digest_of_view() ~ ", current_timestamp(6) from (values " ~ made | join(", ")
            ~ ") as made (view_name, definition) inner join information_schema.views as views"
            " on views.table_schema || '.' || views.table_name = made.view_name"
        ) -%}
    {%- endif -%}
{% endmacro %}


{#- Comments for Trino's users; only those that differ from what Trino has. -#}
{% macro describe_columns(relation, held) %}
    {%- for column in model.columns.values() -%}
        {%- if column.description and column.description != held.get(column.name) -%}
            {%- do run_query(
                "comment on column " ~ relation ~ "." ~ column.name ~ " is " ~ sql_literal(column.description)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
