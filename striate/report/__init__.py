"""The report: self-contained HTML pages that say how good a run is, how sound a folder is, how runs compare.

What a page says is plain data, filled by a job; a function turns it into the page:
`content.RunReport` and `page.render`; `audit_content.AuditPage` and `audit_page.render_audit`; `summary.RunSummary` and
`compare_page.render_comparison`, with `compare_text.comparison_text` for the terminal.
The room knows no net and loads nothing heavy: the standard library, NumPy and Pillow.
"""
