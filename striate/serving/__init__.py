"""Models over HTTP: the protocols, batches and metrics of `striate serve`, which predicts and nothing else."""
