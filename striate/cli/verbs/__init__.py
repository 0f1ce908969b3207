"""One file a verb: HELP and EXAMPLE, `arguments` for the parser, and `run`.

`run` calls a job and puts its answer into words; nothing heavy is imported before it.
"""
