"""Tuning: searches for hyper-parameters and architectures."""
