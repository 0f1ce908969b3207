"""The page of one run: how good it is, on what, and what to look at next."""
