{#- When Kafka took the latest message of a staging table: for freshness, by metadata alone. -#}
{% macro newest_message(table) -%}
    select max(data.kafka_timestamp.max) from {{ metadata(table, "partitions") }}
{%- endmacro %}
