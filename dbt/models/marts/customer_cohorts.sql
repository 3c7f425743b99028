with

sales as (

    select * from {{ ref('sales') }}

),

months as (

    select
        user_id,
        cast(date_trunc('month', event_date) as date) as month_start,
        sum(amount) as amount
    from sales
    where
        not is_return
        and user_id is not null
    group by user_id, cast(date_trunc('month', event_date) as date)

),

firsts as (

    select
        *,
        min(month_start) over (partition by user_id) as cohort_month
    from months

),

customer_cohorts as (

    select
        cohort_month,
        month_start,
        date_diff('month', cohort_month, month_start) as months_since,
        count(*) as active_customers,
        cast(sum(amount) as decimal(38, 6)) as amount
    from firsts
    group by cohort_month, month_start

)

select * from customer_cohorts
