"""Which part of a picture is in which stream, in sentences."""

from __future__ import annotations

import math

from saelab.report.facts import Facts
from saelab.report.words import figure, percent, together

MOST = 60  # dB, above which a component is whole
UNTOUCHED = 1e-6  # share of the variance that clipping may take and be called nothing


def separation(run: Facts) -> str:
    """SDR of each component from the stream that is for it, beside principal axes and the best line."""
    names = components(run)
    if not names:
        return ""
    told = []
    for name in names:
        stream = stream_of(run, name)
        if not stream:
            told.append(f"no stream is for the {name}")
            continue
        value, pca, line = (run.get(f"separation/test/{name}/{who}sdr") for who in ("", "pca_", "linear_"))
        text = f"the {stream} stream gives the {name} with {decibels(value)} (principal axes {decibels(pca)}, "
        told.append(text + f"lines learned with the truth {decibels(line)})")
    text = f"Of the parts of a picture {together(told)}"
    unseen = [run.get(f"separation/test_unseen/{name}/sdr") for name in names]
    if not any(map(math.isnan, unseen)):
        each = together([f"{decibels(value)} for the {name}" for name, value in zip(names, unseen, strict=True)])
        text += f"; with tags never seen it is {each}"
    return text + f".{ceiling(run, names)}"


def ceiling(run: Facts, names: list[str]) -> str:
    """What clipping leaves possible."""
    lost = run.get("separation/clipped")
    if math.isnan(lost) or lost < UNTOUCHED:
        return ""
    ends = together([f"{decibels(run.get(f'separation/test/{name}/ideal_sdr'))} for the {name}" for name in names])
    return f" Clipping took {percent(lost)} of the sum's variance, so that no two streams can do better than {ends}."


def readouts(run: Facts) -> str:
    """What a line tells from each code there is."""
    told = []
    for name in families(run):
        raw = run.get(f"separation/test/{name}/raw_acc")
        each = {code: run.get(f"separation/test/{name}/{code}_acc") for code in ("dense", "sparse")}
        parts = [f"{percent(value)} of the rows from the {code} code" for code, value in each.items() if value == value]
        if parts and raw == raw:
            told.append(f"the {name} on {together(parts)} ({percent(raw)})")
    if not told:
        return ""
    return f"Linear read-outs fitted on training rows tell {'; '.join(told)}; in brackets from the rows themselves."


def components(run: Facts) -> list[str]:
    """Of pixels, in the order of the sum."""
    found = (m.split("/") for m in run.metrics if m.startswith("separation/test/") and m.endswith("/whole_sdr"))
    return [parts[2] for parts in found]


def families(run: Facts) -> list[str]:
    found = (m.split("/") for m in run.metrics if m.startswith("separation/test/") and m.endswith("/raw_acc"))
    return [parts[2] for parts in found]


def stream_of(run: Facts, name: str) -> str:
    """The stream whose SDR is the component's own."""
    value = run.get(f"separation/test/{name}/sdr")
    streams = [s for s in ("dense", "sparse") if run.get(f"separation/test/{name}/{s}_sdr") == value]
    return streams[0] if len(streams) == 1 else ""


def decibels(value: float) -> str:
    """4.2 dB; above 60 there is nothing but rounding."""
    return f"{figure(round(value, 1) + 0.0, 1)}\N{NO-BREAK SPACE}dB" if not value > MOST else "no error"
