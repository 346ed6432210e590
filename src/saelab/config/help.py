"""What `--help` says."""

from __future__ import annotations

from saelab.config.compose import options

USAGE = {
    "train": [
        ("python src/train.py", "the quickstart: bundled digits, in about a minute"),
        ("python src/train.py experiment=mnist_topk", "an experiment; what it needs is made first"),
        ("python src/train.py experiment=mnist_topk model.sae.k=16 seed=1", "with other values"),
        (
            "python src/train.py experiment=mnist_topk logger=wandb",
            "also to TensorBoard or W&B: tensorboard, wandb, many",
        ),
        ("python src/train.py -m experiment=mnist_topk model.sae.k=8,16,32", "several runs on one store"),
        ("python src/train.py -m sweep=topk_k dry_run=true", "list a sweep's jobs; then leave dry_run out"),
        ("python src/train.py -m sweep=topk_k packed=true", "the same, trained as one run"),
        ("python src/train.py experiment=mnist_topk ckpt_path=last", "continue the newest unfinished run"),
        ("python src/train.py experiment=mnist_topk --cfg job", "show the whole config"),
    ],
    "extract": [
        ("python src/extract.py experiment=mnist_topk", "cache an experiment's activations"),
        ("python src/extract.py experiment=mnist_topk 'store.sites=[net.1,net.3]'", "several sites in one pass"),
        ("python src/extract.py data=array data.path=acts.npy", "a store from your own array"),
    ],
    "eval": [("python src/eval.py run=logs/runs/quickstart/...", "a run's metrics, computed again")],
    "report": [
        ("python src/report.py run=logs/runs/quickstart/...", "redraw a run's figures and report.html"),
        ("python src/report.py runs='logs/runs/mnist_topk/*'", "compare runs on one page"),
    ],
    "export": [
        ("python src/export.py run=logs/runs/quickstart/... format=saelens", "for SAE.load_from_disk"),
        ("python src/export.py run=logs/runs/quickstart/... format=dictionary_learning", "for load_dictionary"),
        ("python src/export.py run=logs/runs/quickstart/... format=sparsify out=sae", "for SparseCoder.load_from_disk"),
        ("python src/export.py run=logs/runs/quickstart/... format=overcomplete", "a state dict and what it is for"),
    ],
    "import": [
        ("python src/import.py path=FOLDER format=saelens", "cfg.json, sae_weights.safetensors"),
        ("python src/import.py path=FOLDER format=dictionary_learning", "config.json, ae.pt"),
        ("python src/import.py path=FOLDER format=sparsify", "cfg.json, sae.safetensors"),
        ("python src/import.py path=FOLDER format=overcomplete", "overcomplete.json, state_dict.pt"),
    ],
}
GROUPS = {
    "train": ["experiment", "sweep", "model", "data", "base", "trainer", "logger", "debug"],
    "extract": ["experiment", "data", "base"],
}


def devices() -> list[str]:
    """The devices there are, in words."""
    import torch

    found = [f"cpu ({torch.get_num_threads()} threads)"]
    found += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def help_text(command: str, doc: str) -> str:
    """Usage, and the choices of the main config groups with one line each."""
    width = max(len(line) for line, _ in USAGE[command]) + 2
    lines = [doc.strip(), "", "usage:", *(f"  {line:<{width}}{text}" for line, text in USAGE[command])]
    for group in GROUPS.get(command, []):
        lines += ["", f"{group}=", *(f"  {name:<24}{text}" for name, text in options(group).items())]
    lines += ["", "Any key of `--cfg job` can be set as key=value. Hydra's own flags: --hydra-help"]
    return "\n".join(lines)
