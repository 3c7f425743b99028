{#-
  Computes every column of every row: a view with a value that no longer fits its type can't be
  read, and a test of its keys alone does not notice. Nor does a count of its rows: Trino leaves out
  what a count does not need, also below a DISTINCT.
-#}
{% test is_readable(model) %}

{%- set find_columns = "select * from " ~ model ~ " limit 0" %}
{%- set columns = run_query(find_columns).column_names if execute else [] %}

select digest
from (select checksum(row({{ columns | join(", ") }})) as digest from {{ model }})
where digest = x''

{% endtest %}
