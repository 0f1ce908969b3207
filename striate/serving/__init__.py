"""Models over HTTP: the protocols, batches, limits and guards of `striate serve`, which predicts and nothing else."""
