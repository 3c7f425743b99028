{{ config(store_failures_as='view') }}

select
    user_id,
    event_date,
    product_id,
    first_viewed_at,
    purchased_at,
    minutes_to_purchase
from {{ ref('same_day_purchasers') }}
where
    {{ rows_of(untested_days('same_day_purchasers')) }}
    and (
        purchased_at < first_viewed_at
        or minutes_to_purchase < 0
        or {{ reporting_date('first_viewed_at') }} <> event_date
        or {{ reporting_date('purchased_at') }} <> event_date
    )
