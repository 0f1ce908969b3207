"""The single-file model: a trained network with all it needs, in one safetensors file. Imports no torch."""

from striate.model.ensemble import AnyModel, Ensemble, ensemble_of, read_any, write_ensemble
from striate.model.file import Model, description, read, write

__all__ = ["AnyModel", "Ensemble", "Model", "description", "ensemble_of", "read", "read_any", "write", "write_ensemble"]
