-- This only makes the table. Each mart adds its row when it is built: see record_build.
select
    cast(null as varchar) as mart,
    cast(null as varchar) as rebuild_reason,
    cast(null as array(date)) as touched_days,
    cast(null as bigint) as events_snapshot_id,
    cast(null as bigint) as products_snapshot_id,
    cast(null as varchar) as events_bookmark,
    cast(null as varchar) as products_bookmark,
    cast(null as timestamp(6) with time zone) as latest_event_at,
    cast(null as varchar) as reporting_time_zone,
    cast(null as varchar) as definition,
    cast(null as bigint) as mart_snapshot_id,
    cast(null as timestamp(6) with time zone) as built_at,
    cast(null as varchar) as invocation_id
where false
