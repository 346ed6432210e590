"""Imported before anything of the project, so that its shape annotations are checked while the tests run."""

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# As Python says, an int is fine where a float is asked.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
PACKAGES = ("sae", "formats", "metrics", "kernels", "analysis", "nets")
hook = install_import_hook([f"saelab.{name}" for name in PACKAGES], "shapes.checked")
