"""The report: one self-contained HTML page that says how good a run is, on what, and what to look at next.

`striate.report.content` holds what a report says, as plain data; `striate.report.page.render` turns it into a page.
The room knows no net and loads nothing heavy: the standard library, NumPy and Pillow.
"""
