{#-
  dbt's own question, asked by is_incremental and by the materialization. The answer is in the plan,
  so that it is the same whenever it is asked in a run.
-#}
{% macro should_full_refresh() %}
    {%- if config.get("incremental_strategy") != "restate" -%}
        {{ return(dbt.should_full_refresh()) }}
    {%- endif -%}
    {%- set wanted = config.get("full_refresh") -%}
    {%- if wanted or (flags.FULL_REFRESH and wanted is none) -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set find_reason -%}
        select rebuild_reason
        from {{ model_named("mart_plans") }}
        where mart = '{{ this.identifier }}'
    {%- endset -%}
    {%- set reasons = run_query(find_reason).columns[0].values() -%}
    {%- set reason = reasons[0] if reasons else "it has no plan" -%}
    {%- if reason and wanted == false -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ " must be rebuilt (" ~ reason ~ "), and its config has full_refresh:"
            " false. Take that out for one run"
        ) }}
    {%- endif -%}
    {{ return(reason is not none) }}
{% endmacro %}
