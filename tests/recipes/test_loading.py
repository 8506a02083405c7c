"""Which value wins, and what a loaded recipe holds."""

from pathlib import Path

import pytest

from fai_rl.recipes.load import load
from fai_rl.recipes.shipped import shipped_recipes
from fai_rl.recipes.yaml_tree import parse_file
from fai_rl.trainers.train import main
from fai_rl.utils.errors import RecipeError

RECIPE = """\
model:
  base_model_name: org/model
data:
  datasets:
    - name: org/data
training:
  algorithm: sft
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "r.yaml") -> str:
        Path(name).write_text(text)
        return name

    return write


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_loads_and_notes_nothing_ignored(name: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = parse_file(shipped_recipes()[name]).value["data"]
    for entry in [*data["datasets"], *data.get("eval_datasets", [])]:
        if entry["name"].endswith(".jsonl"):  # a placeholder for the user's own file
            path = tmp_path / entry["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    recipe = load(name)
    assert recipe.training.algorithm == name.partition("/")[0]
    assert not [note for note in recipe.notes if "no effect" in note]


def test_a_shipped_recipe_is_found_by_its_path_from_any_folder(write):
    assert load("recipes/training/sft/tiny_cpu.yaml").name == "tiny_cpu"


def test_override_beats_recipe_beats_profile_beats_default(write):
    profile = write("model: {lora_r: 2, lora_alpha: 2, lora_dropout: 0.2}\n", "p.yaml")
    recipe = write(RECIPE.replace("data:", "  lora_r: 3\n  lora_alpha: 3\ndata:"))
    loaded = load(recipe, ["model.lora_r=4", "model.use_lora=true"], [profile]).model
    assert (loaded.lora_r, loaded.lora_alpha, loaded.lora_dropout) == (4, 3, 0.2)
    assert loaded.lora_bias == "none"


def test_the_later_of_two_profiles_wins(write):
    recipe = write(RECIPE)
    assert load(recipe, profiles=["qlora", "lora"]).model.load_in_4bit is False
    assert load(recipe, profiles=["lora", "qlora"]).model.load_in_4bit is True


def test_a_profile_that_the_recipe_overrules_is_said(write):
    recipe = write(RECIPE.replace("data:", "  use_lora: false\ndata:"))
    loaded = load(recipe, profiles=["lora"])
    assert loaded.model.use_lora is False
    assert any("add model.use_lora=true to overrule it" in note for note in loaded.notes)


def test_a_profile_chooses_by_what_the_machine_can_do(write):
    recipe = write(RECIPE)
    assert load(recipe, abilities=frozenset({"gpu", "gpu-bf16"})).trl["bf16"] is True
    assert load(recipe, abilities=frozenset({"gpu"})).trl["fp16"] is True
    assert load(recipe, abilities=frozenset({"cpu"})).trl["use_cpu"] is True


@pytest.mark.parametrize(
    "text", ["choose: 1\n", "choose: [1]\n", "choose: []\nmodel: {}\n", "- a\n", "", "a: [\n"]
)
def test_a_broken_profile_is_told(write, text: str):
    with pytest.raises(RecipeError):
        load(write(RECIPE), profiles=[write(text, "p.yaml")])


def test_a_typo_in_a_chosen_part_of_a_profile_has_its_line(write):
    profile = write("choose:\n  - when: cpu\n    training:\n      seeed: 1\n", "p.yaml")
    with pytest.raises(RecipeError) as caught:
        load(write(RECIPE), profiles=[profile])
    assert caught.value.problems[0].where == "p.yaml:4"


def test_the_algorithm_may_come_from_a_profile(write):
    recipe = write(RECIPE.replace("algorithm: sft", "seed: 1"))
    assert load(recipe, profiles=[write("training: {algorithm: dpo}\n", "p.yaml")]).trl["seed"] == 1


def test_a_list_of_datasets_replaces_the_one_below_it(write):
    profile = write("data: {datasets: [{name: org/a, split: x}, {name: org/b}]}\n", "p.yaml")
    loaded = load(write(RECIPE), profiles=[profile])
    assert [(entry.name, entry.split) for entry in loaded.data.datasets] == [("org/data", "train")]


def test_numbers_where_text_belongs_keep_their_spelling(write):
    text = RECIPE + "  run_name: 007\nwandb:\n  tags: [1e4, yes, 2026-01-01]\n"
    loaded = load(write(text))
    assert loaded.trl["run_name"] == "007"
    assert loaded.wandb.tags == ["1e4", "yes", "2026-01-01"]


def test_a_value_of_another_key_or_the_environment_is_filled_in(
    write, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAI_RL_TEST_NAME", "x")
    text = RECIPE + (
        "  seed: 3\n  data_seed: ${training.seed}\n  output_dir: out/${oc.env:FAI_RL_TEST_NAME}\n"
        "  run_name: ${oc.env:FAI_RL_NOT_SET,none}\n"
    )
    loaded = load(write(text))
    assert loaded.trl["data_seed"] == 3
    assert str(loaded.output_dir) == "out/x"
    assert loaded.trl["run_name"] == "none"


def test_an_interpolated_value_is_checked_where_it_was_written(
    write, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAI_RL_TEST_SEED", "many")
    with pytest.raises(RecipeError) as caught:
        load(write(RECIPE + "  seed: ${oc.env:FAI_RL_TEST_SEED}\n"))
    problem = caught.value.problems[0]
    assert problem.where == "r.yaml:8" and 'the text "many"' in problem.message


def test_a_secret_may_come_from_the_environment_and_is_not_written(
    write, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAI_RL_TEST_KEY", "0123456789abcdef")
    loaded = load(write(RECIPE + "wandb:\n  api_key: ${oc.env:FAI_RL_TEST_KEY}\n"))
    assert loaded.wandb.api_key == "0123456789abcdef"
    assert "0123456789abcdef" not in loaded.as_yaml()


def test_the_output_folder_is_named_after_the_recipe(write):
    assert str(load(write(RECIPE)).output_dir) == "outputs/r"


def test_gspo_is_grpo_with_the_paper_s_settings(write):
    loaded = load(write(RECIPE.replace("sft", "gspo")), ["training.epsilon=0.1"])
    assert loaded.trl["importance_sampling_level"] == "sequence"
    assert loaded.trl["epsilon_high"] == 4e-4
    assert loaded.trl["epsilon"] == 0.1


def test_an_empty_section_is_as_good_as_none(write):
    assert load(write(RECIPE + "wandb:\nevaluation:\n")).wandb.enabled is False


def test_the_printed_recipe_is_the_same_recipe(write, capsys: pytest.CaptureFixture[str]):
    words = ["training.learning_rate=1e-5", "training.run_name=007", "data.system_prompt=a: b #1"]
    assert main(["--recipe", write(RECIPE), *words, "--print-recipe"]) == 0
    again = load(write(capsys.readouterr().out, "again.yaml"))
    assert again.as_dict() == load("r.yaml", words).as_dict()
