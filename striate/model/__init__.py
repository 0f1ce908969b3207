"""The single-file model: everything needed to use a trained network, in one safetensors file. Imports no torch."""

from striate.model.file import Model, read, write

__all__ = ["Model", "read", "write"]
