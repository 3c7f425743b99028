{#-
  Computes every column of every row: a view with a value that no longer fits its type can't be
  read, and a test of its keys alone does not notice. Nor does a count of its rows: Trino leaves out
  what a count does not need, also below a DISTINCT.
-#}
{% test is_readable(model) %}

{%- set tested = graph.nodes.get(context.model.attached_node, {}) if execute -%}
{%- set columns = tested.get("columns", {}).keys() if tested %}

select digest
from (select checksum(row({{ columns | join(", ") }})) as digest from {{ model }})
where digest = x''

{% endtest %}
