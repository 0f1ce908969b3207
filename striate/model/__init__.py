"""The single-file model: a trained network with all it needs, in one safetensors file. Imports no torch."""

from striate.model.file import Model, description, read, write

__all__ = ["Model", "description", "read", "write"]
