"""Net files: a network written as a table of rows, read and checked with the shape after every row, without torch."""

from striate.netfile.plan import Block, Plan, Row, plan
from striate.netfile.shapes import Shape
from striate.netfile.text import NetText, parse
from striate.netfile.words import Word

__all__ = ["Block", "NetText", "Plan", "Row", "Shape", "Word", "parse", "plan"]
