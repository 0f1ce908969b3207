"""Analysis of networks: operations traced, cost counted, receptive fields, block diagrams. Not imported by the papers' files."""
