{#-
  dbt's own question, asked by is_incremental and by the materialization. The answer is in the plan,
  so that it is the same whenever it is asked in a run.
-#}
{% macro should_full_refresh() %}
    {%- if config.get("incremental_strategy") != "restate" or flags.FULL_REFRESH -%}
        {{ return(flags.FULL_REFRESH) }}
    {%- endif -%}
    {%- set find_plan -%}
        select count_if(rebuild_reason is null)
        from {{ model_named("mart_plans") }}
        where mart = '{{ this.identifier }}'
    {%- endset -%}
    {{ return(run_query(find_plan).rows[0][0] == 0) }}
{% endmacro %}
