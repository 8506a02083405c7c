"""Messages as people see them."""

import pytest

from fai_rl.utils.errors import DataError, FaiRLError, LaunchError, Problem, RecipeError
from fai_rl.utils.terminal import print_error


def test_a_problem_says_what_where_and_the_way_out():
    problem = Problem("unknown key x", "r.yaml:3", "did you mean y?\nor z?")
    assert str(problem) == "error: unknown key x\n  at   r.yaml:3\n  did you mean y?\n  or z?"
    assert str(Problem("x")) == "error: x"


def test_an_error_is_made_from_a_sentence_a_problem_or_several():
    assert RecipeError("x", "here", "do").problems == [Problem("x", "here", "do")]
    assert DataError(Problem("x")).problems == [Problem("x")]
    assert len(LaunchError([Problem("x"), Problem("y")]).problems) == 2


@pytest.mark.parametrize("kind", [RecipeError, DataError, LaunchError])
def test_every_error_is_of_one_tree_and_the_user_s(kind: type[FaiRLError]):
    assert issubclass(kind, FaiRLError) and kind("x").exit_code == 2


def test_several_errors_are_counted_and_secrets_left_out(capsys, monkeypatch):
    monkeypatch.setenv("FAI_RL_TEST_TOKEN", "a-long-secret-value")
    code = print_error(RecipeError([Problem("x a-long-secret-value"), Problem("y")]))
    told = capsys.readouterr().err
    assert code == 2
    assert "2 errors" in told and "a-long-secret-value" not in told
