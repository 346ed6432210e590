"""saelab: a Hydra + Lightning laboratory for sparse autoencoders."""

__version__ = "0.1.0"


def __getattr__(name: str):
    """`saelab.load_sae(run)` and `saelab.load_net(run)`, imported when first used."""
    if name in ("load_sae", "load_net"):
        from saelab import run

        return getattr(run, name)
    raise AttributeError(f"module 'saelab' has no attribute '{name}'")
