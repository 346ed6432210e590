"""A run as one HTML page that opens anywhere: figures inside, nothing fetched."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

import jinja2

from saelab.plots import draw
from saelab.plots.draw import DRAWINGS
from saelab.report.facts import Facts, facts
from saelab.report.findings import findings, tiles
from saelab.report.provenance import pipeline, reproduction
from saelab.report.tables import concept_rows, factor_rows, probe_rows

SECTIONS = {
    "curves": (
        "Training",
        "How the loss and the metrics moved. Grey is training, blue the whole validation split.",
    ),
    "truth": (
        "Are they the true features?",
        "Latents and true features matched one to one, beside random directions in the latents' place; and each latent "
        "as a detector of the feature nearest to it, which several may share.",
    ),
    "streams": (
        "Which part is in which stream?",
        "How much of the true dense and sparse codes a linear map reads from the code they belong in, and what the "
        "other code adds to that; an SAE of one stream has no dense code. Lasso is what the true directions give an "
        "encoder that sees the rows alone: where it fails, the data may be at fault. Right, codes quantised ever "
        "finer.",
    ),
    "pictures": (
        "What each stream makes of a picture",
        "Held-out pictures and the parts they are the sum of, what either stream contributes, and what is missing: red "
        "where the picture is brighter than both streams together, blue where it is darker.",
    ),
    "separation": (
        "Which part is in which stream?",
        "Signal to distortion of each component, 10 log10(‖c‖² / ‖c - e‖²), from the stream that is for it: medians "
        "over pictures with 95 % intervals. 0 dB is what an empty stream has. Which stream is for which component is "
        "chosen on other rows. And what linear read-outs, fitted on training rows, tell from each code.",
    ),
    "latents": (
        "What the latents see",
        "For each concept the latent that tells it best from the rest, and the inputs on which that latent is largest.",
    ),
    "examples": (
        "Reconstructions",
        "Inputs, their activations under the reconstruction, and what the base net says when it continues from either.",
    ),
    "density": ("How often latents fire", "Counted on held-out rows with frozen weights; a dead latent fires on none."),
    "concepts": (
        "Which concepts survive",
        "Linear probes on raw activations and on codes, beside the best single latent, which is chosen on one half of "
        "the rows and scored on the other. Accuracies within two standard errors count as equally good.",
    ),
    "ablation": (
        "A concept that was kept from it for a while",
        "Held-out rows before the intervention, after it, and at the end of training, when the concept had been given "
        "back; thin lines: the other concepts of its family. Training goes on meanwhile, so that the same run with "
        "how=none is what to hold this against.",
    ),
    "emergence": (
        "When each concept comes",
        "Steps at which a latent is pure, and so recovers its concept (dark), or only selective (pale), on the same "
        "held-out rows throughout; in order of first appearance, on a logarithmic axis.",
    ),
    "retention": (
        "Which concepts are kept",
        "AUC of the latent that is best on one half of those rows, scored on the other half. A dot: some latent is "
        "pure for this concept, which need not be that one.",
    ),
    "confusion": ("What is taken for what", "Test inputs by true and predicted class; errors are coloured."),
    "source": ("The data", "Inputs with their labels; where inputs are sums, their parts below."),
}


def page(run: Path) -> Path:
    """Draw the run's figures, write `report.html` beside them and return its path."""
    told = facts(run)
    drawn = draw(run)
    html = render(
        "page.html.j2",
        title=told.info.get("name", run.name),
        run=told,
        findings=findings(told),
        tiles=tiles(told),
        pipeline=pipeline(told),
        sections=[section(name, drawn[name], told) for name in SECTIONS if name in drawn],
        probes=[] if "concepts" in drawn else probe_rows(told),
        factors=factor_rows(told),
        reproduction=reproduction(told),
    )
    out = run / "report.html"
    out.write_text(html, encoding="utf-8")
    return out


def render(template: str, **values: Any) -> str:
    """Fill a template of this package; everything is escaped."""
    loader = jinja2.PackageLoader("saelab.report", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.get_template(template).render(**values)


def section(name: str, png: Path, run: Facts) -> dict[str, Any]:
    """A heading, an image, what to see in it, and the table that belongs below."""
    heading, caption = SECTIONS[name]
    below = name == "concepts"
    return {
        "heading": heading,
        "caption": caption,
        "image": image(png),
        "data": DRAWINGS[name].data,
        "probes": probe_rows(run) if below else [],
        "concepts": concept_rows(run) if below else [],
    }


def image(png: Path) -> dict[str, Any]:
    """A PNG as a data URL, with the width to show it at: half its pixels, as figures have twice the resolution."""
    data = png.read_bytes()
    (width,) = struct.unpack(">I", data[16:20])
    return {"url": "data:image/png;base64," + base64.b64encode(data).decode(), "width": width // 2, "alt": png.stem}
