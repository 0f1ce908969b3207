"""Analysis of networks: operations traced, cost counted, receptive fields, block diagrams. Papers do not read it."""
