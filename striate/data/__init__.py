"""Where images come from and whether they can be trusted: sources, audit, splits. Knows no net."""
