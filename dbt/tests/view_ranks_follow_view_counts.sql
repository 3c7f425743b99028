{{ config(store_failures_as='view') }}

with

neighbours as (

    select
        event_date,
        product_id,
        view_count,
        view_rank,
        lag(view_rank, 1, 0) over (partition by event_date order by view_rank) as previous_rank,
        lag(view_count) over (partition by event_date order by view_rank) as previous_count
    from {{ ref('top_viewed_products') }}
    where {{ rows_of(untested_days('top_viewed_products')) }}

),

out_of_order as (

    select * from neighbours
    where
        view_rank <> previous_rank + 1
        or view_count > previous_count

)

select * from out_of_order
