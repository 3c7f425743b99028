{%- set days = tested_days() -%}

with

staged as (

    select
        event_date,
        count(*) as sale_count,
        checksum(
            row(
                event_id, event_timestamp, event_type = 'return', user_id, product_id, quantity,
                price, amount
            )
        ) as content
    from {{ ref('user_events') }}
    where
        event_type in ('purchase', 'return')
        and {{ events_of(days) }}
    group by event_date

),

held as (

    select
        event_date,
        count(*) as sale_count,
        checksum(
            row(event_id, event_timestamp, is_return, user_id, product_id, quantity, price, amount)
        ) as content
    from {{ ref('sales') }}
    where {{ rows_of(days) }}
    group by event_date

)

select
    coalesce(staged.event_date, held.event_date) as event_date,
    staged.sale_count as staged,
    held.sale_count as held
from staged
full outer join held
    on staged.event_date = held.event_date
where staged.content is distinct from held.content
