"""Lines of equal height of a surface, by marching squares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Point = tuple[float, float]

# Which edges of a square a line crosses, by the corners above the level: bottom left 1, bottom right 2, top right 4,
# top left 8. Edges: bottom 0, right 1, top 2, left 3.
_CROSSED = {
    1: ((3, 0),),
    2: ((0, 1),),
    3: ((3, 1),),
    4: ((1, 2),),
    5: ((3, 2), (0, 1)),
    6: ((0, 2),),
    7: ((3, 2),),
    8: ((2, 3),),
    9: ((2, 0),),
    10: ((3, 0), (1, 2)),
    11: ((2, 1),),
    12: ((1, 3),),
    13: ((1, 0),),
    14: ((0, 3),),
}


def contour(
    value: Callable[[float, float], float],
    x: tuple[float, float],
    y: tuple[float, float],
    level: float,
    cells: int = 36,
) -> list[tuple[Point, Point]]:
    """Segments on which `value` is `level`, linear within each of cells x cells squares of the window x, y."""
    across = [x[0] + (x[1] - x[0]) * place / cells for place in range(cells + 1)]
    up = [y[0] + (y[1] - y[0]) * place / cells for place in range(cells + 1)]
    heights = [[value(a, b) - level for a in across] for b in up]
    return [
        segment
        for row in range(cells)
        for column in range(cells)
        for segment in _square(heights, across, up, row, column)
    ]


def _square(
    heights: Sequence[Sequence[float]], across: Sequence[float], up: Sequence[float], row: int, column: int
) -> Iterator[tuple[Point, Point]]:
    corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
    above = sum(1 << place for place, (i, j) in enumerate(corners) if heights[i][j] > 0)

    def crossing(edge: int) -> Point:
        (i, j), (k, m) = corners[edge], corners[(edge + 1) % 4]
        share = heights[i][j] / (heights[i][j] - heights[k][m])
        return across[j] + share * (across[m] - across[j]), up[i] + share * (up[k] - up[i])

    for first, last in _CROSSED.get(above, ()):
        yield crossing(first), crossing(last)
