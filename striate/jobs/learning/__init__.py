"""The strategies of `train`, and what they hand back."""
