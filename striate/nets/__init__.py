"""The networks: one file for each paper, with the paper's table at its top.

`striate.nets.catalog` lists them without torch; `striate.nets.build.create` makes one by name.
"""
