"""TRL's keys, read from its source without importing it."""

import json
import subprocess
import sys

from fai_rl.recipes import config_reader
from fai_rl.recipes.config_reader import config_keys, own_keys
from fai_rl.recipes.schema import ModelConfig

# Prints every field of the real classes with its default, where that is a plain value.
_REAL = """
import dataclasses, enum, json, sys
from trl import DPOConfig, GRPOConfig, SFTConfig

def plain(field):
    value = field.default
    if value is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    return value.value if isinstance(value, enum.Enum) else value

json.dump(
    {
        config.__name__: {field.name: plain(field) for field in dataclasses.fields(config)}
        for config in (SFTConfig, DPOConfig, GRPOConfig)
    },
    sys.stdout,
    default=str,
)
"""
# Computed when transformers is imported; the reader gives its source text.
_COMPUTED = {"optim": "default_optim"}


def test_names_and_defaults_are_those_of_the_real_classes():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _REAL], capture_output=True, text=True, check=True
    )
    for name, fields in json.loads(done.stdout[done.stdout.index("{") :]).items():
        keys = config_keys(f"trl.{name}")
        assert set(keys) == set(fields), name
        read = {key: keys[key].default for key in keys}
        assert {**read} == {**fields, **_COMPUTED}, name


def test_every_key_has_a_type_and_nearly_every_one_a_help():
    for config in ("trl.SFTConfig", "trl.DPOConfig", "trl.GRPOConfig"):
        keys = config_keys(config)
        assert all(key.type.kinds for key in keys.values())
        assert sum(not key.help for key in keys.values()) < len(keys) / 10


def test_enumerations_become_choices():
    keys = config_keys("trl.SFTConfig")
    assert "cosine" in keys["lr_scheduler_type"].type.choices
    assert keys["eval_strategy"].type.choices == ("no", "steps", "epoch")


def test_a_second_reading_comes_from_the_cache_and_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config_keys.cache_clear()
    first = config_keys("trl.SFTConfig")
    assert list(tmp_path.glob("fai-rl/*.json"))
    config_keys.cache_clear()
    monkeypatch.setattr(config_reader, "_SourceReader", None)
    assert config_keys("trl.SFTConfig") == first
    config_keys.cache_clear()


def test_a_broken_cache_is_read_over(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = config_reader._cache_file("trl.SFTConfig")
    path.parent.mkdir(parents=True)
    path.write_text("{broken")
    config_keys.cache_clear()
    assert "learning_rate" in config_keys("trl.SFTConfig")
    config_keys.cache_clear()


def test_our_own_keys_have_types_defaults_and_choices():
    keys = own_keys(ModelConfig)
    assert keys["lora_r"].default == 8 and keys["lora_r"].type.kinds == {"int"}
    assert keys["torch_dtype"].type.choices == ("auto", "bfloat16", "float16", "float32")
    assert all(key.help for key in keys.values())
