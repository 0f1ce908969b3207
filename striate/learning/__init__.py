"""Training on a user's data: `prepare` -> `Trainer` -> `TrainResult`; each strategy composes these."""
