{% test unique_grain(model, columns) %}

{{ config(store_failures_as='view') }}

select
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
