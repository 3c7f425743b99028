with

views as (

    select * from {{ ref('top_viewed_products') }}

),

purchasers as (

    select * from {{ ref('same_day_purchasers') }}

),

viewed as (

    select
        event_date,
        -- A user counts once for each product.
        sum(unique_viewers) as viewer_count
    from views
    group by event_date

),

purchased as (

    select
        event_date,
        count(*) as purchaser_count
    from purchasers
    group by event_date

),

same_day_conversion_rate as (

    select
        viewed.event_date,
        viewed.viewer_count,
        coalesce(purchased.purchaser_count, 0) as purchaser_count,
        {{ percentage('coalesce(purchased.purchaser_count, 0)', 'viewed.viewer_count') }}
            as conversion_percent
    from viewed
    left join purchased
        on viewed.event_date = purchased.event_date

)

select * from same_day_conversion_rate
