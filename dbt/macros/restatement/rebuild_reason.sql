{#-
  Why a mart can't be brought up to date by restating the days that were touched, in words; none
  if it can.
-#}
{% macro rebuild_reason(node, build, builds, comparable, products) %}
    {%- set zone = var("reporting_time_zone") -%}
    {%- set is_indexed = builds.get("daily_product_activity", {}).events_snapshot_id
        == build.events_snapshot_id -%}
    {%- if flags.FULL_REFRESH -%}
        {{ return("--full-refresh asks for it") }}
    {%- elif not build -%}
        {{ return("no build of it is on record") }}
    {%- elif build.mart_snapshot_now is none or build.mart_snapshot_now != build.mart_snapshot_id -%}
        {{ return("its table is not as the last build on record left it") }}
    {%- elif build.definition != definition(node) -%}
        {{ return("its code has changed") }}
    {%- elif build.reporting_time_zone != zone -%}
        {{ return("days were days of " ~ build.reporting_time_zone ~ ", and are of " ~ zone) }}
    {%- elif build.events_snapshot_id not in comparable.events -%}
        {{ return("the events of its last build can't be compared with those of now") }}
    {%- elif not node.config.meta.get("shows_products_if") -%}
        {{ return(none) }}
    {%- elif build.products_snapshot_id not in comparable.products -%}
        {{ return("the products of its last build are no longer held") }}
    {%- elif build.products_snapshot_id != products.snapshot_id and not is_indexed -%}
        {{ return("daily_product_activity, which says where a product was, is of another build") }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}


{#-
  Snapshots of staging of which Trino can tell how they differ from the current one. Events: those
  that it was made from, unless delete files came later, which table_changes refuses. (Spark, as we
  use it, rewrites files instead.) Products, which are few, are read whole at both.
-#}
{% macro comparable_snapshots(events, products) %}
    {%- set find_events -%}
        select snapshot_id
        from {{ metadata(events, "snapshots") }}
        where
            snapshot_id in ({{ ancestors(events) }})
            and committed_at >= all (
                select committed_at
                from {{ metadata(events, "snapshots") }}
                where coalesce(element_at(summary, 'total-delete-files'), '0') <> '0'
            )
    {%- endset -%}
    {%- set find_products = "select snapshot_id from " ~ metadata(products, "snapshots") -%}
    {{ return({
        "events": run_query(find_events).columns[0].values(),
        "products": run_query(find_products).columns[0].values(),
    }) }}
{% endmacro %}
