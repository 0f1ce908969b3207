"""Published weights: where they come from, how they are checked, and how their names become ours."""
