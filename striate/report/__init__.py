"""The report: self-contained HTML pages that say how good a run is, how sound a folder is, how runs compare.

What a page says is plain data, filled by a job; a function turns it into the page:
`run.content.RunReport` and `run.page.render`; `audit.content.AuditPage` and `audit.page.render_audit`;
`compare.summary.RunSummary` and `compare.page.render_comparison`, with `compare.text` for the terminal.
The room knows no net and loads nothing heavy: the standard library, NumPy and Pillow.
"""
