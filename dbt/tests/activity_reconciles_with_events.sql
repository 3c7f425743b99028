{{ config(store_failures_as='view') }}

{%- set days = untested_days('daily_product_activity') -%}

with

events as (

    select
        event_date,
        event_type,
        count(*) as event_count
    from {{ ref('user_events') }}
    where {{ events_of(days) }}
    group by event_date, event_type

),

activity as (

    select
        daily.event_date,
        counts.event_type,
        sum(counts.event_count) as event_count
    from {{ ref('daily_product_activity') }} as daily
    cross join
        unnest(
            array['view', 'add_to_cart', 'remove_from_cart', 'purchase', 'return'],
            array[
                daily.view_count,
                daily.add_to_cart_count,
                daily.remove_from_cart_count,
                daily.purchase_count,
                daily.return_count
            ]
        ) as counts (event_type, event_count)
    where
        counts.event_count > 0
        and {{ rows_of(days) }}
    group by daily.event_date, counts.event_type

),

differences as (

    select
        coalesce(events.event_date, activity.event_date) as event_date,
        coalesce(events.event_type, activity.event_type) as event_type,
        events.event_count as staged,
        activity.event_count as counted
    from events
    full outer join activity
        on
            events.event_date = activity.event_date
            and events.event_type = activity.event_type
    where events.event_count is distinct from activity.event_count

)

select * from differences
