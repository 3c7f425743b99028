{#- After mart_plans: says which marts are rebuilt in full, and why. -#}
{% macro report_rebuilds() %}
    {%- set find_rebuilds -%}
        select
            mart,
            rebuild_reason
        from {{ this }}
        where rebuild_reason is not null
        order by mart
    {%- endset -%}
    {%- if execute -%}
        {%- for mart, reason in run_query(find_rebuilds).rows -%}
            {%- do log(mart ~ " is rebuilt in full: " ~ reason, info=true) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
