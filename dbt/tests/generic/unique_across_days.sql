{#-
  A column of user_events: no value of the rows to look at stands in another row of their days, or
  of the days around them in which the ingest looks for an id.
-#}
{% test unique_across_days(model, column_name) %}

{%- set days = tested_days() -%}
{%- set around = days_around(days, duplicate_horizon_days()) %}

select
    {{ column_name }},
    count(*) as event_count,
    min(event_date) as first_date,
    max(event_date) as last_date
from {{ ref('user_events') }}
where
    ({{ events_of(around) }} or event_timestamp is null)
    and {{ column_name }} in (select tested.{{ column_name }} from {{ model }})
group by {{ column_name }}
having count(*) > 1

{% endtest %}
