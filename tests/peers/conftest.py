"""The table that all parity tests fill, printed and written when they have all run."""

from __future__ import annotations

import pytest
from parity import PACKAGES, PARITY, Table

_table = Table()


@pytest.fixture
def table() -> Table:
    return _table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table; write it where every test has run and passed."""
    if not _table.rows:
        return
    text = _table.markdown()
    terminalreporter.write_line(text)
    left_out = any(terminalreporter.stats.get(outcome) for outcome in ("failed", "error", "skipped", "deselected"))
    if not left_out and len({row.library for row in _table.rows}) == len(PACKAGES):
        PARITY.write_text(text)
