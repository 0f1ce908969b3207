"""Style transfer: a photograph painted as a painting is, by optimisation or by a network trained for one painting."""
