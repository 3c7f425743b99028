{%- set days = tested_days() -%}
{%- set compared -%}
    category, gross_revenue, returned_amount, purchase_count, units_sold, buyers
{%- endset -%}

with

events as (

    select * from {{ ref('user_events') }}
    where
        event_type in ('purchase', 'return')
        and {{ events_of(days) }}

),

-- A buyer in a category is a row here, and guests together are one.
by_user as (

    select
        events.event_date,
        coalesce(products.category, 'Unknown product') as category,
        events.user_id,
        sum(if(events.event_type = 'purchase', events.amount, 0)) as gross,
        sum(if(events.event_type = 'return', events.amount, 0)) as returned,
        sum(if(events.event_type = 'purchase', 1, 0)) as purchases,
        sum(if(events.event_type = 'purchase', events.quantity, 0)) as units
    from events
    left join {{ ref('products') }} as products
        on events.product_id = products.product_id
    group by
        events.event_date, coalesce(products.category, 'Unknown product'), events.user_id

),

recounted as (

    select
        event_date,
        category,
        cast(sum(gross) as decimal(38, 6)) as gross_revenue,
        cast(sum(returned) as decimal(38, 6)) as returned_amount,
        sum(purchases) as purchase_count,
        sum(units) as units_sold,
        sum(if(purchases > 0 and user_id is not null, 1, 0)) as buyers
    from by_user
    group by event_date, category

),

by_day as (

    select
        event_date,
        checksum(row({{ compared }})) as content,
        sum(gross_revenue) as gross_revenue,
        sum(units_sold) as units_sold
    from recounted
    group by event_date

),

shown as (

    select
        event_date,
        checksum(row({{ compared }})) as content
    from {{ ref('product_category_revenue') }}
    where {{ rows_of(days) }}
    group by event_date

),

as_sold as (

    select
        event_date,
        sum(gross_revenue) as gross_revenue,
        sum(units_sold) as units_sold
    from {{ ref('product_category_revenue_as_sold') }}
    where {{ rows_of(days) }}
    group by event_date

)

select
    coalesce(by_day.event_date, shown.event_date, as_sold.event_date) as event_date,
    by_day.gross_revenue as recounted,
    as_sold.gross_revenue as as_sold
from by_day
full outer join shown
    on by_day.event_date = shown.event_date
full outer join as_sold
    on by_day.event_date = as_sold.event_date
where
    by_day.content is distinct from shown.content
    or by_day.gross_revenue is distinct from as_sold.gross_revenue
    or by_day.units_sold is distinct from as_sold.units_sold
