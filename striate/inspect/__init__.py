"""Looking into networks: why an answer, what a unit answers to, what happens without a part."""
