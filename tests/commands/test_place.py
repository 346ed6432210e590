"""What a run is found by."""

from __future__ import annotations

from saelab.commands.place import run_recipe
from saelab.config import compose


def test_what_changes_the_numbers_is_part_of_the_recipe_and_what_watches_is_not() -> None:
    def recipe(*settings: str) -> dict[str, object]:
        return run_recipe(compose("train", ["experiment=quickstart", *settings]), "sae")

    plain = recipe()
    assert recipe("callbacks=quiet") == recipe("callbacks=concepts") == recipe("logger=tensorboard") == plain
    treated = recipe("callbacks=resample")
    assert treated != plain != recipe("model.sae.k=3")
    assert treated != recipe("callbacks=resample", "callbacks.resample.every=7")
    assert {k: v for k, v in treated.items() if k != "callbacks"} == plain
