{#-
  Complete days of the last week against the same weekday of the four weeks before: events and the
  average price of what was sold. A warning: a holiday looks like a fault.
-#}
{{ config(severity='warn') }}

with

days as (

    select event_date from {{ ref('calendar') }}

),

-- The last day may not be over.
last as (

    select max(event_date) as event_date from days

),

activity as (

    select
        event_date,
        sum(
            view_count + add_to_cart_count + remove_from_cart_count + purchase_count + return_count
        ) as events
    from {{ ref('daily_product_activity') }}
    group by event_date

),

sold as (

    select
        event_date,
        cast(avg(amount / quantity) as double) as price
    from {{ ref('sales') }}
    where not is_return
    group by event_date

),

figures as (

    select
        days.event_date,
        coalesce(activity.events, 0) as events,
        sold.price
    from days
    left join activity
        on days.event_date = activity.event_date
    left join sold
        on days.event_date = sold.event_date
    cross join last
    where
        days.event_date > last.event_date - interval '36' day
        and days.event_date < last.event_date

),

compared as (

    select
        event_date,
        events,
        price,
        avg(events) over weekdays_before as usual_events,
        avg(price) over weekdays_before as usual_price,
        count(*) over weekdays_before as weeks
    from figures
    window weekdays_before as (
        partition by day_of_week(event_date)
        order by event_date asc
        rows between 4 preceding and 1 preceding
    )

)

select
    compared.event_date,
    compared.events,
    compared.usual_events,
    compared.price,
    compared.usual_price
from compared
cross join last
where
    compared.weeks >= 2
    and compared.event_date >= last.event_date - interval '7' day
    and (
        compared.events not between 0.6 * compared.usual_events and 2.5 * compared.usual_events
        or compared.price not between compared.usual_price / 3 and compared.usual_price * 3
    )
