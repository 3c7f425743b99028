{#-
  Computes every column of every row: a view with a value that no longer fits its type can't be
  read, and a test of its keys alone does not notice.
-#}
{% test is_readable(model) %}

{% set columns = adapter.get_columns_in_relation(model) if execute else [] %}

select *
from (
    select
        count(*) as row_count
        {% for column in columns %}
            , count({{ column.quoted }}) as column_{{ loop.index }}
        {% endfor %}
    from {{ model }}
)
where row_count < 0

{% endtest %}
