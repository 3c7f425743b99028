"""The topics of the shop that comes with the lakehouse, and their tables."""

from lakehouse.contracts.topics.product_metadata import CONTRACT as PRODUCT_METADATA
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS
from lakehouse.tables.definitions import raw_table, staging_table

RAW_USER_EVENTS, STG_USER_EVENTS = raw_table(USER_EVENTS), staging_table(USER_EVENTS)
RAW_PRODUCT_METADATA = raw_table(PRODUCT_METADATA)
STG_PRODUCT_METADATA = staging_table(PRODUCT_METADATA)
