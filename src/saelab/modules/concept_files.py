"""What is written of concepts while an SAE is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saelab.analysis.save import append_csv, write_csv
from saelab.modules.csv import known

Row = dict[str, Any]
COLUMNS = ("best_auc", "recovered", "detected", "pure", "ev", "probe_auc")


class Dynamics:
    """The two files of one SAE, to which every look adds its rows; what was written after a step is forgotten.

    The summary comes last, so that of a step which it has the other file has all rows.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.files = (folder / "concept_dynamics.csv", folder / "concept_dynamics_summary.csv")
        tables = [known(file) for file in self.files]
        self.steps = {int(row["step"]) for row in tables[1] if 0 < step >= int(row["step"])}
        for file, table in zip(self.files, tables, strict=True):
            if kept := [row for row in table if int(row["step"]) in self.steps]:
                write_csv(file.with_suffix(".tmp"), kept).replace(file)
            else:
                file.unlink(missing_ok=True)

    def knows(self, step: int) -> bool:
        return step in self.steps

    def add(self, at: Row, concepts: list[Row], whole: Row) -> None:
        """Append to both files; a kill leaves at most one look that is not whole."""
        names = ("family", "concept", *COLUMNS)
        append_csv(self.files[0], [at | {name: row[name] for name in names} for row in concepts])
        append_csv(self.files[1], [at | whole])
        self.steps.add(at["step"])
