{#- Sales -> their sums by day and category. -#}
{% macro revenue_of(sales, category) -%}
    select
        event_date,
        {{ category }} as category,
        cast(sum(if(is_return, 0, amount)) as decimal(38, 6)) as gross_revenue,
        cast(sum(if(is_return, amount, 0)) as decimal(38, 6)) as returned_amount,
        cast(sum(if(is_return, -amount, amount)) as decimal(38, 6)) as net_revenue,
        count_if(not is_return) as purchase_count,
        sum(if(is_return, 0, quantity)) as units_sold,
        count(distinct if(not is_return, user_id)) as buyers
    from {{ sales }}
    group by 1, 2
{%- endmacro %}
