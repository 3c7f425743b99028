with

activity as (

    select * from {{ ref('daily_product_activity') }}

),

bounds as (

    select
        min(event_date) as first_date,
        max(event_date) as last_date
    from activity

),

-- A sequence has at most 10,000 elements: months, and the days of each.
months as (

    select month_start.month_start
    from bounds
    cross join
        unnest(
            sequence(
                date_trunc('month', bounds.first_date), bounds.last_date, interval '1' month
            )
        ) as month_start (month_start)

),

calendar as (

    select
        days.event_date,
        cast(date_trunc('week', days.event_date) as date) as week_start,
        cast(date_trunc('month', days.event_date) as date) as month_start,
        day_of_week(days.event_date) as day_of_week
    from months
    cross join
        unnest(
            sequence(months.month_start, last_day_of_month(months.month_start), interval '1' day)
        ) as days (event_date)
    cross join bounds
    where days.event_date between bounds.first_date and bounds.last_date

)

select * from calendar
