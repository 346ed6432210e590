"""One self-contained HTML page per run, or for many runs beside each other."""

from saelab.report.compare import compare, join_tables, tabulate
from saelab.report.page import page

__all__ = ["compare", "join_tables", "page", "tabulate"]
