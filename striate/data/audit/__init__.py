"""The data audit: one pass over the images, findings, near-duplicates, and decisions."""
