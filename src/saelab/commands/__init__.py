"""The programs: train, extract, eval, report."""
