"""Secrets stay out of what is written and printed."""

import pytest

from fai_rl.utils.redaction import (
    REDACTED,
    is_secret_key,
    is_secret_value,
    literal_secrets,
    redact,
    redact_text,
)


@pytest.mark.parametrize(
    "key", ["wandb.api_key", "hub_token", "HF_TOKEN", "password", "a.secret", "aws_credentials"]
)
def test_keys_that_name_secrets_are_known(key: str):
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key", ["training.eos_token", "pad_token", "max_new_tokens", "tokenizer", "model.lora_r"]
)
def test_keys_that_only_sound_alike_are_not(key: str):
    assert not is_secret_key(key)


def test_keys_of_known_services_are_known_by_their_shape():
    assert is_secret_value("hf_" + "a" * 30) and is_secret_value("sk-" + "a" * 30)
    assert not is_secret_value("hf_short") and not is_secret_value(5)


def test_secrets_are_found_however_deep_but_not_references_and_empty_ones():
    tree = {
        "wandb": {"api_key": "x", "name": "hf_" + "a" * 30},
        "training": {"kwargs": [{"token": "y"}], "hub_token": "${oc.env:HF_TOKEN}"},
        "other": {"api_key": "", "password": None},
    }
    assert list(literal_secrets(tree)) == [
        ("wandb", "api_key"),
        ("wandb", "name"),
        ("training", "kwargs", 0, "token"),
    ]


def test_a_redacted_tree_keeps_its_shape():
    tree = {"wandb": {"api_key": "x", "tags": ["a"]}, "n": 1, "hub_token": None}
    assert redact(tree) == {
        "wandb": {"api_key": REDACTED, "tags": ["a"]},
        "n": 1,
        "hub_token": None,
    }
    assert tree["wandb"]["api_key"] == "x"


def test_text_loses_what_the_environment_holds_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAI_RL_TEST_API_KEY", "0123456789")
    assert redact_text("key 0123456789") == f"key {REDACTED}"
