{% test assert_event_data_has_required_fields(
    model, column_name, event_types, fields, event_type_column="event_type"
) %}

select
    {{ event_type_column }},
    {{ column_name }}
from {{ model }}
where
    {{ event_type_column }} in ('{{ event_types | join("', '") }}')
    and (
        {% for field in fields %}
            {{ "or" if not loop.first }} json_extract_scalar({{ column_name }}, '$["{{ field }}"]') is null
        {% endfor %}
    )

{% endtest %}
