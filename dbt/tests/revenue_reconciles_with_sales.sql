{{ config(store_failures_as='view') }}

{%- set days = untested_days('product_category_revenue') -%}

with

sales as (

    select
        event_date,
        sum(case when event_type = 'purchase' then amount else 0 end) as gross_revenue,
        sum(case when event_type = 'return' then amount else 0 end) as returned_amount,
        count_if(event_type = 'purchase') as purchase_count,
        sum(case when event_type = 'purchase' then quantity else 0 end) as units_sold
    from {{ ref('user_events') }}
    where
        event_type in ('purchase', 'return')
        and {{ events_of(days) }}
    group by event_date

),

revenue as (

    select
        event_date,
        sum(gross_revenue) as gross_revenue,
        sum(returned_amount) as returned_amount,
        sum(purchase_count) as purchase_count,
        sum(units_sold) as units_sold
    from {{ ref('product_category_revenue') }}
    where {{ rows_of(days) }}
    group by event_date

),

differences as (

    (
        select
            event_date,
            gross_revenue,
            returned_amount,
            purchase_count,
            units_sold
        from sales
        except
        select
            event_date,
            gross_revenue,
            returned_amount,
            purchase_count,
            units_sold
        from revenue
    )
    union all
    (
        select
            event_date,
            gross_revenue,
            returned_amount,
            purchase_count,
            units_sold
        from revenue
        except
        select
            event_date,
            gross_revenue,
            returned_amount,
            purchase_count,
            units_sold
        from sales
    )

)

select * from differences
