"""One folder, one run."""

import json
from pathlib import Path

import pytest

from fai_rl.launch.run_folder import check_free, create
from fai_rl.recipes.load import load
from fai_rl.utils.errors import LaunchError


@pytest.fixture
def recipe(tmp_path: Path):
    return load("sft/tiny_cpu", [f"training.output_dir={tmp_path / 'run'}"])


def test_a_second_run_is_kept_out_while_the_first_holds_the_folder(recipe):
    _, lock = create(recipe, "", overwrite=False)
    with pytest.raises(LaunchError, match="in use by a run"):
        check_free(recipe, overwrite=True)
    with pytest.raises(LaunchError, match="in use by a run"):
        create(recipe, "", overwrite=True)
    lock.close()
    check_free(recipe, overwrite=False)


def test_an_unfinished_run_names_the_ways_on(recipe):
    folder, lock = create(recipe, "", overwrite=False)
    lock.close()
    (folder.path / "checkpoint-40").mkdir()
    with pytest.raises(LaunchError) as caught:
        check_free(recipe, overwrite=False)
    assert "saved at step 40" in str(caught.value)
    assert "training.resume_from_checkpoint=true" in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_a_folder_with_a_persons_files_is_left_alone(recipe):
    recipe.output_dir.mkdir()
    (recipe.output_dir / "thesis.txt").write_text("mine")
    with pytest.raises(LaunchError, match="no run of fai-rl"):
        check_free(recipe, overwrite=False)
    create(recipe, "", overwrite=True)[1].close()
    assert (recipe.output_dir / "thesis.txt").read_text() == "mine"


def test_overwrite_removes_what_a_run_made(recipe):
    folder, lock = create(recipe, "", overwrite=False)
    lock.close()
    folder.update_status(state="finished")
    (folder.final).mkdir()
    with pytest.raises(LaunchError, match="finished run"):
        check_free(recipe, overwrite=False)
    again, lock = create(recipe, "", overwrite=True)
    lock.close()
    assert not again.final.exists()
    assert json.loads(again.status.read_text())["state"] == "starting"


def test_logs_and_recipes_are_for_their_owner_only(recipe):
    folder, lock = create(recipe, "", overwrite=False)
    lock.close()
    for path in (folder.log, folder.events, folder.recipe, folder.status):
        assert path.stat().st_mode & 0o077 == 0, path
