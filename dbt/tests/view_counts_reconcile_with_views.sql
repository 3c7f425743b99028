{{ config(store_failures_as='view') }}

{%- set days = untested_days('top_viewed_products') -%}

with

views as (

    select
        event_date,
        count(*) as view_count
    from {{ ref('user_events') }}
    where
        event_type = 'view'
        and {{ events_of(days) }}
    group by event_date

),

counted as (

    select
        event_date,
        sum(view_count) as view_count
    from {{ ref('top_viewed_products') }}
    where {{ rows_of(days) }}
    group by event_date

),

differences as (

    (
        select
            event_date,
            view_count
        from views
        except
        select
            event_date,
            view_count
        from counted
    )
    union all
    (
        select
            event_date,
            view_count
        from counted
        except
        select
            event_date,
            view_count
        from views
    )

)

select * from differences
