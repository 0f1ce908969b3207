"""Names of the attributes by which trials and studies hold what Optuna does not."""

from __future__ import annotations

# Of a study.
IDENTITY, TOTAL = "striate", "trials"
# Of a trial: who is at it, and in how many attempts its workers ended.
WORKER, COUNT, AGAIN, ATTEMPT, SURPLUS = "worker", "beat", "again_of", "attempt", "surplus"
# Of a trial: what came of it.
ERROR, SAME, INTERVAL, IMAGES, EPOCHS = "error", "same_as", "interval", "images", "epochs"
