"""Networks compared under an equal budget: trainings, costs, latency, and what can be told apart."""
