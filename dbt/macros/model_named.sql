{#-
  The relation of a model of this project that the caller does not ref: because it is downstream,
  or because a unit test would ask for rows of it.
-#}
{% macro model_named(name) %}
    {#- There is no graph yet while dbt parses. -#}
    {%- if execute -%}
        {%- set node = graph.nodes["model." ~ project_name ~ "." ~ name] -%}
        {{ return(api.Relation.create(
            database=node.database, schema=node.schema, identifier=node.alias, type="table"
        )) }}
    {%- endif -%}
{% endmacro %}
