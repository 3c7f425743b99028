{#- Of a table, the newest snapshot that changed rows: compaction leaves it as it is. -#}
{% macro newest_change(table) -%}
    select max_by(snapshot_id, committed_at)
    from {{ metadata(table, "snapshots") }}
    where
        operation <> 'replace'
        and snapshot_id in ({{ ancestors(table) }})
{%- endmacro %}
