"""One module per verb: HELP and EXAMPLE, `arguments` for the parser, and `run`.

`run` calls a job and formats its result; nothing heavy is imported before it.
"""
