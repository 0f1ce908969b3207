"""The section of the recipe, the versions and the notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from striate.sections import Block, Listing, Preformatted, Section, Text
from striate.sections.wording import clipped

NOTES = 100


def details_section(recipe: str, versions: Mapping[str, str], notes: Sequence[str]) -> Section:
    """recipe: TOML. notes: lines for the user."""
    blocks: list[Block] = [Text(clipped(note)) for note in notes[:NOTES]]
    if recipe:
        blocks.append(Preformatted("Recipe", recipe))
    if versions:
        blocks.append(
            Listing("Versions", [f"{clipped(name)} {clipped(version)}" for name, version in versions.items()])
        )
    return Section("details", "Recipe and versions", tuple(blocks) or (Text("None were recorded.", "quiet"),))
