"""What a network is made of: its operations traced, its cost counted, its blocks drawn; reads nets, trains none."""
