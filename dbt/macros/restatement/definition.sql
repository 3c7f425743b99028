{#-
  Digest of what decides the rows of a model: its code and settings, those of all that it reads, the
  macros in them and in these, and the values of their variables. The engine's own macros decide
  which days are made, not what is in them, and do not count.
-#}
{% macro definition(unique_id) %}
    {%- set code = {} -%}
    {%- do add_definition(unique_id, code) -%}
    {%- set text = code.values() | join -%}
    {%- set variables = [] -%}
    {%- for name in modules.re.findall("var\\(\\s*['\"](\\w+)", text) | unique | sort -%}
        {%- do variables.append(name ~ "=" ~ var(name, "")) -%}
    {%- endfor -%}
    {{ return(local_md5(text ~ variables | join(","))) }}
{% endmacro %}


{% macro add_definition(unique_id, code) %}
    {%- if unique_id in graph.nodes and unique_id not in code -%}
        {%- set node = graph.nodes[unique_id] -%}
        {%- set config = node.config -%}
        {%- set settings = [config.materialized, config.unique_key, config.properties] -%}
        {%- do code.update({unique_id: (node.raw_code or node.checksum.checksum) ~ settings}) -%}
        {%- for parent in node.depends_on.nodes | sort -%}
            {%- do add_definition(parent, code) -%}
        {%- endfor -%}
        {%- for macro in node.depends_on.macros | sort -%}
            {%- do add_macro(macro, code) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}


{% macro add_macro(unique_id, code) %}
    {%- set name = unique_id.split(".")[-1] -%}
    {%- if unique_id.split(".")[1] == project_name and unique_id not in code -%}
        {%- set macro = context[name].macro -%}
        {%- if "restatement" not in macro.original_file_path -%}
            {%- do code.update({unique_id: macro.macro_sql}) -%}
            {%- for other in macro.depends_on.macros | sort -%}
                {%- do add_macro(other, code) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
