"""A run's report: its sections by theme, and `run_report`, which composes them."""
