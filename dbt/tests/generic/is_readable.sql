{#-
  Computes every column of every row: a view with a value that no longer fits its type can't be
  read, and a test of its keys alone does not notice.
-#}
{% test is_readable(model) %}

select *
from (
    select count(*) as row_count
    from (select distinct * from {{ model }})
)
where row_count < 0

{% endtest %}
