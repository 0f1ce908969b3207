"""Weights that were imported and kept: where they lie, and of which networks; read without numpy."""

from __future__ import annotations

from pathlib import Path

from striate.storage import cache_root


def kept_path(net_name: str) -> Path:
    """Where `striate import --keep` puts the model file by which a network's name then stands for its weights."""
    return _folder() / f"{net_name}.safetensors"


def kept_nets() -> list[str]:
    """The networks whose names stand for weights that were imported and kept, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.safetensors"))


def _folder() -> Path:
    return cache_root() / "weights" / "imported"
