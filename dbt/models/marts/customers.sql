with

sales as (

    select * from {{ ref('sales') }}

),

observed as (

    select
        *,
        {{ observation_end('sales') }} as observed_until
    from sales

),

-- Purchases of a day are one transaction.
days as (

    select
        user_id,
        event_date,
        observed_until,
        sum(amount) as amount
    from observed
    where
        not is_return
        and user_id is not null
        and event_date <= observed_until
    group by user_id, event_date, observed_until

),

firsts as (

    select
        *,
        min(event_date) over (partition by user_id) as first_purchase_date
    from days

),

totals as (

    select
        user_id,
        first_purchase_date,
        max(event_date) as last_purchase_date,
        count(*) - 1 as frequency,
        date_diff('day', first_purchase_date, max(event_date)) as recency_days,
        date_diff('day', first_purchase_date, max(observed_until)) as age_days,
        coalesce(
            cast(avg(amount) filter (where event_date > first_purchase_date) as decimal(38, 6)), 0
        ) as monetary_value,
        cast(sum(amount) as decimal(38, 6)) as amount
    from firsts
    group by user_id, first_purchase_date

),

customers as (

    select
        *,
        ntile(5) over (order by last_purchase_date asc, user_id asc) as recency_score,
        ntile(5) over (order by frequency asc, user_id asc) as frequency_score,
        ntile(5) over (order by amount asc, user_id asc) as monetary_score
    from totals

)

select * from customers
