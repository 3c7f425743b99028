{#-
  Days on which the rows of two snapshots of a staging table differ, except in where Kafka had
  them. It reads the files that were added and removed in between. Of those that were rewritten with
  some rows changed, only the days of these rows count; compaction does not.
-#}
{% macro days_changed(version, since) -%}
    {%- set columns = [] -%}
    {%- for column in adapter.get_columns_in_relation(version.table)
        if not column.name.startswith("kafka_") -%}
        {%- do columns.append(column.name) -%}
    {%- endfor -%}
    select event_date
    from (
        select
            _change_type,
            {{ reporting_date(version.time) }} as event_date,
            checksum(row({{ columns | join(", ") }})) as content
        from table({{ version.table.database }}.system.table_changes(
            schema_name => '{{ version.table.schema }}',
            table_name => '{{ version.table.identifier }}',
            start_snapshot_id => {{ since }},
            end_snapshot_id => {{ version.snapshot_id }}
        ))
        group by 1, 2
    )
    group by event_date
    having
        max(content) filter (where _change_type = 'insert')
        is distinct from max(content) filter (where _change_type = 'delete')
{%- endmacro %}


{#-
  The same where somebody deleted or updated rows in Trino: it leaves delete files, which
  table_changes refuses. Days that hold another number of rows in some file. It reads the time
  column of both snapshots whole, until these files are rewritten.
-#}
{% macro days_recounted(version, since) -%}
    {%- set count_rows -%}
        select
            "$path" as path,
            {{ reporting_date(version.time) }} as event_date,
            count(*) as row_count
        from {{ version.table }}
    {%- endset -%}
    {%- set before = count_rows ~ " for version as of " ~ since ~ " group by 1, 2" -%}
    {%- set now = count_rows ~ " for version as of " ~ version.snapshot_id ~ " group by 1, 2" -%}
    select distinct event_date
    from (
        (({{ before }}) except ({{ now }}))
        union all
        (({{ now }}) except ({{ before }}))
    )
{%- endmacro %}


{#-
  Days of a mart with rows for which another state of a change log holds now: `key` names what
  changed, and a change holds from its own time on. A log is small, and read whole at both snapshots.
-#}
{% macro days_looked_up(mart, key, version, since) -%}
    {%- set before = "select * from " ~ version.table ~ " for version as of " ~ since -%}
    {%- set now = "select * from " ~ version.table ~ " for version as of " ~ version.snapshot_id -%}
    select distinct mart.event_date
    from {{ mart }} as mart
    inner join (
        select
            {{ key }},
            min({{ version.time }}) as changed_at
        from (
            (({{ before }}) except ({{ now }}))
            union all
            (({{ now }}) except ({{ before }}))
        )
        group by {{ key }}
    ) as changes
        on
            mart.{{ key }} = changes.{{ key }}
            and mart.event_timestamp >= changes.changed_at
{%- endmacro %}
