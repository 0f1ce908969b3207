"""Architecture search: spaces of networks, objectives, samplers, and the search that runs them."""
