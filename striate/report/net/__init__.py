"""The page of a network: its table, its stages drawn, and what each costs."""
