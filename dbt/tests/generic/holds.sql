{#- A rule that must be true in every row; unknown is not true. -#}
{% test holds(model, rule) %}

{{ config(store_failures_as='view') }}

select * from {{ model }}
where not coalesce({{ rule }}, false)

{% endtest %}
