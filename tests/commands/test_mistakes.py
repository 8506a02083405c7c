"""Planted mistakes: each is refused with what is wrong, where it stands and the way out."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fai_rl.launch.devices import this_machine
from fai_rl.trainers.train import main

# Line 1 is `model:`; lines added below the last one start at 11.
RECIPE = """\
model:
  base_model_name: builtin:tiny
data:
  datasets:
    - name: builtin:addition
      prompt_column: question
      answer_column: answer
training:
  algorithm: sft
  output_dir: out/run
"""
AFTER = "r.yaml:11"


@dataclass(frozen=True)
class Mistake:
    """A recipe and words that are wrong, and what the answer must say.

    `mode` is --check, or --dry-run where the place of a finding is told only by a refusal.
    """

    id: str
    expected: tuple[str, ...]
    words: tuple[str, ...] = ()
    recipe: str | bytes | None = RECIPE
    mode: str = "--check"


def override(id: str, word: str, *expected: str, more: tuple[str, ...] = ()) -> Mistake:
    return Mistake(id, (f"override {word}", *expected), (word, *more))


def refused(id: str, word: str, *expected: str, more: tuple[str, ...] = ()) -> Mistake:
    return Mistake(id, (f"override {word}", *expected), (word, *more), mode="--dry-run")


def added(id: str, lines: str, *expected: str, at: str = AFTER) -> Mistake:
    return Mistake(id, (at, *expected), (), RECIPE + lines)


def flags(id: str, *words_then_expected: tuple[str, ...], recipe: str | None = RECIPE) -> Mistake:
    words, expected = words_then_expected
    return Mistake(id, expected, words, recipe)


NO_GPU = ("training.use_cpu=true",)
FILES = [
    added("key typo", "  learning_rat: 1e-4\n", "unknown key training.learning_rat",
          "did you mean training.learning_rate?"),
    added("section typo", "traininx:\n  seed: 1\n", "unknown section traininx",
          "did you mean training?"),
    added("unknown section", "xyz:\n  x: 1\n", "unknown section xyz",
          "the sections are model, data, training"),
    added("section of another project", "lora_r: 8\n", "unknown section lora_r",
          "did you mean model.lora_r?"),
    added("key in the wrong section", "  lora_r: 8\n", "unknown key training.lora_r",
          "did you mean model.lora_r?"),
    added("our key of training in model", "model_:\n  x: 1\n", "unknown section model_",
          "did you mean model?"),
    added("another algorithm's key", "  beta: 0.1\n", "unknown key training.beta",
          "it is a key of dpo", "not of sft"),
    added("TRL's old name", "  max_seq_length: 512\n", "training.max_seq_length means nothing here",
          "write training.max_length"),
    added("transformers' old name", "  evaluation_strategy: steps\n",
          "write training.eval_strategy"),
    added("warmup_ratio", "  warmup_ratio: 0.1\n", "training.warmup_steps"),
    added("peer's name for the learning rate", "  lr: 1e-4\n", "write training.learning_rate"),
    added("peer's name for the batch", "  micro_batch_size: 4\n",
          "write training.per_device_train_batch_size"),
    added("yes for a switch", "  packing: yes\n", 'true or false, not the text "yes"',
          "write packing: true"),
    added("one for a switch", "  packing: 1\n", "must be true or false, not 1",
          "write packing: true"),
    added("quoted switch", '  packing: "false"\n', "leave the quotes out: packing: false"),
    added("null switch", "  packing:\n", "training.packing must be true or false, not nothing",
          "its default, false"),
    added("off for a section", "wandb: off\n", "wandb must be a mapping of keys",
          "{enabled: false}"),
    added("list for a section", "wandb:\n  - enabled: true\n", "wandb must be a mapping of keys, "
          "not a list", "write wandb: and its keys below it"),
    added("quoted number", '  learning_rate: "1e-4"\n',
          'training.learning_rate must be a number, not the text "1e-4"',
          "leave the quotes out: learning_rate: 1e-4"),
    added("fraction for a count", "  max_steps: 10.5\n",
          "training.max_steps must be a whole number, not 10.5"),
    added("float for a count", "  max_steps: 1e3\n", "not 1000.0", "write 1000"),
    added("word for a number", "  learning_rate: fast\n", 'a number, not the text "fast"'),
    added("endless number", f"  seed: {'9' * 5000}\n", "training.seed must be a whole number"),
    added("a number of another locale", "  learning_rate: 1,0e-4\n", "must be a number"),
    added("text for a list", "wandb:\n  tags: a\n", "wandb.tags must be a list of text",
          "write a list: tags: [a]", at="r.yaml:12"),
    added("enum typo", "  optim: adamw_torhc\n", "training.optim must be one of",
          "did you mean adamw_torch"),
    added("scheduler typo", "  lr_scheduler_type: cosin\n", "did you mean cosine?"),
    added("template without quotes", "evaluation: {exact_match: false}\nwandb:\n  name: {run}\n",
          "wandb.name must be text or null, not a mapping", 'put it in quotes: name: "…"',
          at="r.yaml:13"),
    added("duplicate key", "  seed: 1\n  seed: 2\n", "key training.seed is written twice",
          "the first is on line 11", at="r.yaml:12"),
    added("duplicate section", "training:\n  seed: 2\n", "key training is written twice",
          "the first is on line 8"),
    added("tab", "\tseed: 1\n", "not YAML", "indented with a tab: use spaces"),
    added("no space after the colon", "  seed:1\n", "not YAML", "put a space after the colon"),
    added("no space in braces", "  lr_scheduler_kwargs: {min_lr:1e-6}\n", "{min_lr:1e-6} has no "
          "value", "put a space after the colon"),
    added("unclosed quote", '  run_name: "x\n', "a quote is not closed",
          'the line reads: run_name: "x'),
    added("unclosed bracket", "  report_to: [wandb\n", "a [ is not closed"),
    added("wrong indentation", "   seed: 1\n", "not YAML", "the line reads: seed: 1"),
    added("colon inside text", "  run_name: a: b\n", "put text that holds a colon in quotes"),
    added("text that starts with a sign", "  run_name: @best\n", "in quotes"),
    added("YAML tag", "  seed: !!python/object:os.system x\n",
          "YAML tag !!python/object:os.system is not supported"),
    added("merge key", "  <<: {seed: 1}\n", "merge keys (<<) are not supported",
          "write the keys out"),
    added("endless alias", "  model_init_kwargs: &a [*a]\n", "aliases or nesting expand this file"),
    added("two documents", "---\nmodel: {}\n", "found another document"),
    Mistake("not UTF-8", (AFTER, "byte 206 is 0xe9", "save it as UTF-8"),
            recipe=RECIPE.encode() + b"  run_name: x\xe9\n"),
    added("secret in the file", "wandb:\n  api_key: 0123456789abcdef\n",
          "wandb.api_key holds a secret", "${oc.env:", at="r.yaml:12"),
    added("secret deep in the file", "  model_init_kwargs: {token: abcdefgh}\n",
          "training.model_init_kwargs.token holds a secret"),
    added("s3 enabled", "s3:\n  enabled: true\n  bucket: b\n", "section s3 means nothing here",
          "leave s3.enabled false"),
    added("environment variable that isn't set", "  seed: ${oc.env:FAI_RL_NOT_SET}\n",
          "environment variable FAI_RL_NOT_SET is not set", "${oc.env:FAI_RL_NOT_SET,null}"),
    added("environment variable of a wrong type", "  seed: ${oc.env:PWD}\n",
          "training.seed must be a whole number"),
    added("interpolation typo", "  run_name: ${training.output_dri}\n",
          "there is no training.output_dri", "did you mean training.output_dir",
          r"write \${ for a dollar"),
    added("unclosed interpolation", '  run_name: "cost ${"\n', r"write \${ for a dollar"),
    Mistake("nested too deep", ("r.yaml:3", "unknown key model.data", "data is a section"),
            recipe="model:\n  base_model_name: builtin:tiny\n  data:\n    datasets: []\n"
            "training: {algorithm: sft}\n"),
    Mistake("no sections", ("r.yaml:1", "r.yaml:2", "did you mean model.base_model_name?",
                            "did you mean training.learning_rate?"),
            recipe="base_model_name: builtin:tiny\nlearning_rate: 1e-4\n"),
    Mistake("a list at the top", ("r.yaml holds a list, not sections", "model, data and training"),
            recipe="- model\n- data\n"),
    Mistake("empty file", ("r.yaml is empty", "a recipe has model, data and training"), recipe=""),
    Mistake("not a text file", ("r.yaml is not a text file in UTF-8", "byte 0 is 0xff",
                                "save it as UTF-8"), recipe=RECIPE.encode("utf-16")),
    Mistake("missing model", ("model.base_model_name is missing", "r.yaml",
                              "model.base_model_name=builtin:tiny"),
            recipe=RECIPE.replace("  base_model_name: builtin:tiny\n", "")),
    Mistake("missing algorithm", ("training.algorithm is missing", "training.algorithm=sft"),
            recipe=RECIPE.replace("  algorithm: sft\n", "")),
    Mistake("missing data", ("data.datasets is missing", "data.datasets=[{name:"),
            recipe="model: {base_model_name: builtin:tiny}\ntraining: {algorithm: sft}\n"),
    Mistake("a dataset without a name", ("data.datasets[0].name is missing", "r.yaml"),
            recipe=RECIPE.replace("    - name: builtin:addition\n      prompt", "    - prompt")),
    Mistake("datasets as a mapping", ("r.yaml:4", "must be a list of mappings",
                                      "write a list: datasets: [{name:"),
            recipe=RECIPE.replace("    - name", "      name")),
    Mistake("dataset column typo", ("r.yaml:6", "unknown key data.datasets[0].promt_column",
                                    "did you mean data.datasets[0].prompt_column"),
            recipe=RECIPE.replace("prompt_column", "promt_column")),
]  # fmt: skip

OVERRIDES = [
    override("override key typo", "training.learning_rat=1",
             "did you mean training.learning_rate?"),
    override("override section typo", "traininx.seed=1", "did you mean training?"),
    override("override without its section", "learning_rate=5e-5", "unknown section learning_rate",
             "did you mean training.learning_rate?"),
    override("dataset's key in data", "data.split=test", "did you mean data.datasets[0].split?"),
    override("trainer's key in data", "data.packing=true", "did you mean training.packing?"),
    override("model's key in training", "training.use_lora=true", "did you mean model.use_lora?"),
    override("trainer's key in model", "model.learning_rate=1", "training.learning_rate?"),
    override("typo in the wrong section", "wandb.learning_rat=1",
             "did you mean training.learning_rate"),
    override("switch as text on the command line", 'wandb.enabled="false"',
             "leave the quotes out: wandb.enabled=false"),
    override("no for a switch", "wandb.enabled=no", "write wandb.enabled=false"),
    override("null learning rate", "training.learning_rate=null", "not nothing",
             "leave the key out for its default"),
    override("nothing after the equals sign", "training.learning_rate=", "not nothing"),
    override("list for a number", "training.learning_rate=[1e-4]", "must be a number, not a list"),
    override("null model", "model.base_model_name=null", "must be text, not nothing",
             "give it a value"),
    override("short dtype", "model.torch_dtype=bf16", "must be one of auto, bfloat16",
             "did you mean bfloat16?"),
    override("unknown strategy", "launch.strategy=fsdp", "did you mean fsdp2?"),
    override("attention typo", "model.attn_implementation=sdap", "did you mean sdpa?"),
    override("unknown algorithm", "training.algorithm=sftt", "unknown algorithm sftt",
             "did you mean sft?"),
    override("far algorithm", "training.algorithm=kto2", "the algorithms are sft"),
    override("vision algorithm", "training.algorithm=sft_vlm", "images and videos"),
    override("null algorithm", "training.algorithm=null", "must be text, not nothing"),
    override("item past the end", "data.datasets[1].name=x", "data.datasets has 1 item",
             "there is no [1]", "positions start at 0"),
    override("negative item", "data.datasets[-1].name=x", "there is no [-1]"),
    override("dotted item past the end", "data.datasets.3.name=x", "there is no [3]"),
    override("item of an empty list", "wandb.tags[0]=a", "wandb.tags has 0 items",
             "wandb.tags=[…, …]"),
    override("list without a position", "data.datasets.name=x", "is a list: say which item",
             "data.datasets[0].name=…"),
    override("dataset as text", "data.datasets=org/data", "must be a list of mappings",
             "write a list: data.datasets=[{name: org/data}]"),
    override("item as text", "data.datasets[0]=org/data", "not a mapping", "{name: org/data}"),
    override("below a number", "model.lora_r.x=3", "model.lora_r must be a whole number",
             "so it has no x"),
    override("value that isn't YAML", "training.learning_rate={a", "can't read the value",
             "quote text"),
    override("dataset on s3", "data.datasets[0].name=s3://b/x.jsonl", "not read from s3 addresses",
             "copy the file here"),
    override("dataset on the web", "data.datasets[0].name=https://x.org/x.jsonl",
             "not read from https addresses"),
    override("model on s3", "model.base_model_name=s3://b/m", "not read from s3 addresses"),
    override("old s3 key", "model.s3_region=eu", "S3 is not supported"),
    override("s3 enabled by override", "s3.enabled=true", "leave s3.enabled false"),
    override("missing file with a near name", "data.datasets[0].name=trainn.jsonl",
             "there is no file trainn.jsonl", "did you mean ./train.jsonl?"),
    override("missing file", "data.datasets=[{name: gone/x.jsonl}]", "no file gone/x.jsonl",
             "relative paths start at"),
    override("missing file in a home of nobody", "data.datasets[0].name=~nobody_here/x.jsonl",
             "there is no file"),
    override("file of an unknown kind", "data.datasets[0].name=./r.yaml", "is none of .json",
             "convert it"),
    override("missing model folder", "model.base_model_name=./gone", "no folder ./gone",
             "relative paths start at"),
    override("built-in model typo", "model.base_model_name=builtin:tny",
             "did you mean builtin:tiny?"),
    override("quantized without LoRA", "model.load_in_4bit=true", "quantized weights can't be "
             "trained", "model.use_lora=true"),
    override("4 bits and 8 bits", "model.load_in_8bit=true", "are both true", "keep one of them",
             more=("model.load_in_4bit=true", "model.use_lora=true")),
    override("eval strategy without an eval set", "training.eval_strategy=steps",
             "there is no evaluation set", "data.eval_size=0.05"),
    override("best model without an eval set", "training.load_best_model_at_end=true",
             "needs an evaluation set", "data.eval_size=0.05"),
    override("best model saved at other steps", "training.load_best_model_at_end=true",
             "saved by steps and evaluated by epoch", "training.save_strategy=epoch",
             more=("data.eval_size=10",)),
    override("exact match without an eval set", "evaluation.exact_match=true",
             "needs held-out rows", "data.eval_size=200"),
    override("two eval sets", "data.eval_size=10", "both name an evaluation set",
             more=("data.eval_datasets=[{name: builtin:addition, split: test}]",)),
    override("packing without a length", "training.packing=true", "needs training.max_length",
             more=("training.max_length=null",)),
    override("merging without LoRA", "training.merge_adapter=true", "no adapter to merge",
             "leave it out"),
    override("contradictory lengths", "data.max_length=10", "training.max_length is 20",
             "keep one of them", more=("training.max_length=20",)),
    override("streaming without an end", "data.streaming=true", "without training.max_steps",
             "set training.max_steps"),
    override("user_prompt alone", "data.user_prompt={question}", "without data.assistant_prompt",
             "give both or neither"),
    Mistake("answer without a prompt", ("r.yaml:7", "has an answer_column but no prompt_column",
                                        "text_column"), ("data.datasets[0].prompt_column=null",)),
    override("bf16 and fp16", "training.fp16=true", "are both true", "keep the one",
             more=("training.bf16=true",)),
    override("flash attention and another", "model.use_flash_attention=true",
             "contradicts attn_implementation sdpa", more=("model.attn_implementation=sdpa",)),
    override("two ways to share", "training.deepspeed_config=zero2", "launch.strategy fsdp2",
             "keep one of them", more=("launch.strategy=fsdp2",)),
    override("DeepSpeed past the launcher", "training.deepspeed=zero3",
             "write training.deepspeed_config"),
    override("DeepSpeed file that isn't there", "training.deepspeed_config=gone.json",
             "there is no file gone.json"),
    override("remote code unpinned", "model.trust_remote_code=true", "set model.revision",
             more=("model.base_model_name=org/model",)),
    override("no batch", "training.per_device_train_batch_size=0", "must be at least 1, not 0"),
    override("negative learning rate", "training.learning_rate=-1e-4", "must be at least 0"),
    override("infinite learning rate", "training.learning_rate=.inf", "must be a finite number"),
    override("no steps", "training.max_steps=0", "must be at least 1", "-1 counts by"),
    override("no logging", "training.logging_steps=0", "training.logging_strategy=no"),
    override("empty eval set", "data.eval_size=0", "data.eval_size must be above 0"),
    override("eval set of one and a half rows", "data.eval_size=1.5", "whole number"),
    override("no processes", "launch.num_processes=0", "must be at least 1, not 0"),
    override("dropout of everything", "model.lora_dropout=1.5", "must be below 1, not 1.5"),
    override("weight of nothing", "data.datasets[0].weight=0", "must be above 0"),
    override("one process asked for two", "launch.strategy=single", "contradict",
             "leave launch.strategy out", more=("launch.num_processes=2", *NO_GPU)),
    Mistake("weights for some datasets", ("only some of data.datasets have a weight",
                                          "give every dataset a weight"),
            ("data.datasets=[{name: builtin:addition, weight: 1}, {name: builtin:addition}]",)),
    refused("fp16 on the CPU", "training.fp16=true", "needs a GPU", "training.fp16=false"),
    refused("4 bits split by ZeRO-3", "launch.strategy=zero3", "4-bit weights can't be split by "
            "zero3", "launch.strategy=ddp",
            more=("model.load_in_4bit=true", "model.use_lora=true")),
    refused("generating from split weights", "evaluation.exact_match=true", "split by fsdp2",
            "evaluation.exact_match=false",
            more=("launch.strategy=fsdp2", "launch.num_processes=2", "data.eval_size=10")),
    refused("offloading without a GPU", "training.activation_offloading=true", "leave it out"),
    refused("flash attention on the CPU", "model.attn_implementation=flash_attention_2",
            "needs a GPU", "sdpa is the default"),
]  # fmt: skip

FLAGS = [
    flags("HF-style flag", ("--training.learning_rate=1",), ("unknown flag",
          "overrides have no dashes: training.learning_rate=1")),
    flags("flag with an underscore", ("--num_gpus", "2"), ("unknown flag --num_gpus",
          "did you mean --num-gpus?")),
    flags("flag typo", ("--chekc",), ("unknown flag --chekc", "did you mean --check")),
    flags("word for a number of GPUs", ("--num-gpus", "x"), ("--num-gpus", "'x'")),
    flags("GPUs that aren't there", ("--num-gpus", "8"), ("--num-gpus 8", "GPU")),
    flags("negative number of GPUs", ("--num-gpus", "-1"), ("--num-gpus -1",)),
    flags("unknown profile", ("--profile", "qlroa"), ("no profile qlroa", "--profile",
          "did you mean qlora")),
    flags("profile with a typo", ("--profile", "p.yaml"), ("p.yaml:2", "unknown key model.lora_R",
          "did you mean model.lora_r?")),
    flags("unknown recipe", ("--recipe", "sft/tiny_cpuu"), ("no recipe sft/tiny_cpuu",
          "did you mean sft/tiny_cpu?"), recipe=None),
    flags("recipe without its folder", ("--recipe", "tiny_cpu"), ("did you mean sft/tiny_cpu?",),
          recipe=None),
    flags("recipe with another ending", ("--recipe", "p.yml"), ("did you mean p.yaml?",),
          recipe=None),
    flags("folder as a recipe", ("--recipe", "."), (". is a folder",), recipe=None),
    flags("recipe with an endless name", ("--recipe", "r" * 5000), ("no recipe rrr",), recipe=None),
    flags("recipe in a home of nobody", ("--recipe", "~nobody_here/r.yaml"), ("no recipe ~nobody",),
          recipe=None),
    flags("no recipe", (), ("no recipe", "--recipe sft/tiny_cpu"), recipe=None),
    flags("override without a value", ("model.lora_r",), ("not an override: model.lora_r",
          "give it a value: model.lora_r=…")),
    flags("spaces around the equals sign", ("training.seed", "=", "1"), ("3 errors",
          "not an override: =")),
    flags("slashes in a key", ("training/seed=1",), ("not an override", "section.key=value")),
    flags("secret on the command line", ("wandb.api_key=0123456789",),
          ("wandb.api_key on the command line is seen by everyone", "WANDB_API_KEY")),
    flags("secret in a mapping", ("wandb={api_key: 0123456789}",),
          ("wandb.api_key on the command line is seen by everyone",)),
    flags("key of a hub in a harmless place", ("wandb.name=hf_" + "a" * 30,),
          ("wandb.name on the command line is seen by everyone",)),
    flags("override that isn't UTF-8", ("wandb.name=\udc80",), ("an override is not UTF-8",)),
]  # fmt: skip

MISTAKES = [*FILES, *OVERRIDES, *FLAGS]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Work in a folder of its own, on a machine without GPUs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    this_machine.cache_clear()
    (tmp_path / "train.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')
    (tmp_path / "p.yaml").write_text("model:\n  lora_R: 8\n")
    yield tmp_path
    this_machine.cache_clear()


def write(recipe: str | bytes) -> list[str]:
    content = recipe if isinstance(recipe, bytes) else recipe.encode()
    Path("r.yaml").write_bytes(content)
    return ["--recipe", "r.yaml"]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.id.replace(" ", "-"))
def test_a_mistake_is_refused_with_its_place_and_the_way_out(
    mistake: Mistake, capsys: pytest.CaptureFixture[str]
):
    words = [] if mistake.recipe is None else write(mistake.recipe)
    code = main([*words, *mistake.words, mistake.mode])
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert code == 2, text
    for fragment in mistake.expected:
        assert fragment in text
    assert "Traceback" not in text
    assert not Path("out").exists()


def test_the_recipe_that_mistakes_are_planted_in_is_fine(capsys: pytest.CaptureFixture[str]):
    assert main([*write(RECIPE), "--check"]) == 0
    assert "error" not in capsys.readouterr().out


def test_all_mistakes_are_told_in_one_go(capsys: pytest.CaptureFixture[str]):
    recipe = RECIPE.replace("algorithm: sft", "algorithm: sft2") + (
        "  learning_rat: 1\n  packing: yes\n  seed: 1\n  seed: 2\nwanb:\n  enabled: true\n"
    )
    words = ("model.lora_r=x", "data.datasets[7].name=y", "foo", "--profile", "zzz")
    assert main([*write(recipe), *words, "--check"]) == 2
    told = capsys.readouterr().err
    for fragment in (
        "unknown algorithm sft2",
        "unknown key training.learning_rat",
        "training.packing must be",
        "key training.seed is written twice",
        "unknown section wanb",
        "model.lora_r must be",
        "there is no [7]",
        "not an override: foo",
        "no profile zzz",
    ):
        assert fragment in told
    assert "9 errors" in told


def test_contradictions_are_told_together(capsys: pytest.CaptureFixture[str]):
    words = ("model.load_in_4bit=true", "training.merge_adapter=true", "data.user_prompt=x")
    assert main([*write(RECIPE), *words, "--check"]) == 2
    assert "3 errors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "errors"),
    [("\tseed: 1\n", 1), ("  seed: 1\n  seed: 2\n", 1), ("datax: {}\n", 1)],
    ids=["unreadable", "twice", "section"],
)
def test_one_mistake_is_one_error(lines: str, errors: int, capsys: pytest.CaptureFixture[str]):
    assert main([*write(RECIPE + lines), "--check"]) == 2
    assert capsys.readouterr().err.count("error: ") == errors


def test_a_misspelt_key_is_not_told_as_missing_too(capsys: pytest.CaptureFixture[str]):
    assert main([*write(RECIPE.replace("base_model_name", "base_model_nam")), "--check"]) == 2
    assert capsys.readouterr().err.count("error: ") == 1


def test_a_mistake_is_answered_fast_and_without_torch():
    # Only its own CPU time counts: the machine may be busy with something else.
    program = (
        "import json, resource, sys\n"
        "from fai_rl.trainers.train import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'pyarrow'} & set(sys.modules)\n"
        "used = resource.getrusage(resource.RUSAGE_SELF).ru_utime\n"
        "print(json.dumps([code, sorted(heavy), used]))"
    )
    argv = [sys.executable, "-c", program, *write(RECIPE), "training.learning_rat=1", "--check"]
    answers = [
        json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert all(answer[:2] == [2, []] for answer in answers), answers
    assert min(answer[2] for answer in answers) < 0.5
