"""The report: self-contained HTML pages that say how good a run is, how clean a data set is, how runs compare.

What a page says is plain data; a function renders it:
`striate.sections.Report` and `page.render`, for a run or a user's own study; `audit.content.AuditPage` and
`audit.page.render_audit`; `compare.summary.RunSummary` and `compare.page.render_comparison`, with `compare.text` for
the terminal. The package depends on no net and no task, only on the standard library, NumPy and Pillow.
"""
