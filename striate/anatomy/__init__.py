"""Analysis of networks: traces, costs, receptive fields, block diagrams. The papers' files do not import it."""
