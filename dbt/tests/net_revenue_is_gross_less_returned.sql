select
    event_date,
    category,
    gross_revenue,
    returned_amount,
    net_revenue
from {{ ref('product_category_revenue') }}
where net_revenue is distinct from gross_revenue - returned_amount
