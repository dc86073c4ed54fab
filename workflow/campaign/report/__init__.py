"""The report: one page a reader can trust, its plots, and the closing table."""
