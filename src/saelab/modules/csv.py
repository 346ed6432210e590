"""Curves in a CSV file that a continued run goes on with."""

from __future__ import annotations

import csv
import io
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class CurvesLogger(Logger):
    """`metrics.csv` in the run's directory: one row a log step, empty cells where a metric was not logged.

    Lightning's own CSV logger deletes the file of a run that is continued; this one keeps the rows up to the step of
    the checkpoint, so the file of a continued run equals that of one that never stopped.
    """

    def __init__(self, *, path: Path) -> None:
        super().__init__()
        self.path = path
        self.columns = ["step", "epoch"]
        self.rows: list[dict[str, Any]] = []
        self.written = 0  # rows that are in the file as they are here
        self.header: list[str] = []  # the columns of the file
        self.tail = 0  # where the file's last row begins
        if rows := known(path):
            self.rows = [{k: v for k, v in row.items() if v} for row in rows if row["step"]]
            self.columns = list(rows[0])

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def experiment(self) -> None:
        return None

    def continue_from(self, step: int) -> None:
        """Forget what was logged after a step: it will be logged again."""
        self.rows = [row for row in self.rows if int(row["step"]) < step]
        self.written = 0

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run directory has `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.columns += [name for name in metrics if name not in self.columns]
        if self.rows and int(self.rows[-1]["step"]) == step:
            self.rows[-1].update(metrics)
            self.written = min(self.written, len(self.rows) - 1)
        else:
            self.rows.append({"step": step, **metrics})
            if self.written == len(self.rows) - 1 and self.header == self.columns:
                self._append()

    def _append(self) -> None:
        self.tail = self.path.stat().st_size
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(self.rows[-1])
        self.written = len(self.rows)

    @rank_zero_only
    def save(self) -> None:
        """Write what is not in the file as it should be, at most the last row or all; called at every log step."""
        if self.header == self.columns and self.written >= len(self.rows) - 1:
            if self.written < len(self.rows):
                os.truncate(self.path, self.tail)
                self._append()
            return
        partial = self.path.with_suffix(".tmp")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows[:-1])
            self.tail = file.tell()
            writer.writerows(self.rows[-1:])
        partial.replace(self.path)
        self.written, self.header = len(self.rows), list(self.columns)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()


def known(path: Path) -> list[dict[str, str]]:
    """The rows of a file that lines are appended to, but a last one that a kill cut short; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
