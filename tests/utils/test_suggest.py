"""«Did you mean»."""

from fai_rl.utils.suggest import did_you_mean, nearest


def test_the_nearest_names_are_suggested_with_their_section():
    assert did_you_mean("sed", ["seed", "lora_r"], "training.") == "did you mean training.seed?"
    assert did_you_mean("ab", ["abx", "aby"]) == "did you mean aby or abx?"


def test_nothing_near_is_nothing():
    assert did_you_mean("zzz", ["seed"]) is None
    assert did_you_mean("", []) is None


def test_another_case_of_a_name_is_that_name_alone():
    assert nearest("LORA_R", ["lora_r", "lora_bias"]) == ["lora_r"]
