"""The networks: one paper is one file, and the paper's own table stands at its top.

`striate.nets.catalog` lists them without torch; `striate.nets.build.create` makes one by its name.
"""
