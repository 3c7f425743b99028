{%- set days = tested_days() -%}

with

viewed as (

    select
        event_date,
        sum(view_count) as view_count,
        count_if(view_count > 0) as product_count
    from {{ ref('daily_product_activity') }}
    where {{ rows_of(days) }}
    group by event_date
    having sum(view_count) > 0

),

shown as (

    select
        event_date,
        sum(view_count) as view_count,
        max(view_rank) as product_count
    from {{ ref('top_viewed_products') }}
    where {{ rows_of(days) }}
    group by event_date

)

select coalesce(viewed.event_date, shown.event_date) as event_date
from viewed
full outer join shown
    on viewed.event_date = shown.event_date
where
    viewed.view_count is distinct from shown.view_count
    or viewed.product_count is distinct from shown.product_count
