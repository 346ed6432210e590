"""Figures from a run directory's CSV, JSON and npz files; no model is needed to redraw one."""

from saelab.plots.draw import draw, draw_sweep

__all__ = ["draw", "draw_sweep"]
