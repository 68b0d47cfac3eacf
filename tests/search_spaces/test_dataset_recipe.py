"""Recipes: what is collected, and the id that stands for data that are yet to be made."""

import hashlib

import pytest

from search_spaces import Collect, DatasetRecipe, SpecificationError


def recipe(name: str = "d", env: str = "bsuite/catch/0", **collect: object) -> DatasetRecipe:
    return DatasetRecipe(name=name, env=env, collect={"agent": "dqn", "steps": 1000, **collect})


def test_the_recipe_id_is_the_hash_of_the_canonical_text_written_by_hand() -> None:
    text = '{"collect":{"agent":"dqn","network":"nature_dqn","steps":1000},"env":"atari/Pong"}'
    expected = "recipe:" + hashlib.sha256(text.encode()).hexdigest()[:16]
    made = recipe(env="atari/Pong", network="nature_dqn", hidden_sizes=[512], epsilon_decay_steps=500, seed=0)
    assert made.recipe_id() == expected


def test_the_name_of_a_recipe_does_not_count_and_its_content_does() -> None:
    assert recipe("one").recipe_id() == recipe("other").recipe_id()
    changed = [
        recipe(env="bsuite/catch/1"),
        recipe(steps=1001),
        recipe(agent="random"),
        recipe(seed=1),
        recipe(num_envs=2),
        recipe(epsilon_start=0.5),
        recipe(epsilon_end=0.01),
        recipe(epsilon_decay_steps=3),
        recipe(random_action_noise=0.1),
        recipe(learning_rate=1),
        recipe(batch_size=1),
        recipe(discount=1),
        recipe(target_update_period=1),
        recipe(updates_per_step=1),
        recipe(learning_starts=1),
        recipe(network="nature_dqn"),
        recipe(hidden_sizes=[]),
        recipe(reward_clip=1),
    ]
    assert len({made.recipe_id() for made in (recipe(), *changed)}) == 1 + len(changed)


def test_existing_datasets_are_told_apart_by_name() -> None:
    one, other = (DatasetRecipe(name=name, env="atari/Pong", existing=True) for name in ("one", "other"))
    assert one.recipe_id() != other.recipe_id()


def test_epsilon_falls_over_half_of_the_steps_unless_told_otherwise() -> None:
    assert Collect(agent="dqn", steps=1000).epsilon_decay_steps == 500
    assert Collect(agent="dqn", steps=1).epsilon_decay_steps == 1
    assert Collect(agent="dqn", steps=1000, epsilon_decay_steps=7).epsilon_decay_steps == 7


@pytest.mark.parametrize(
    ("collect", "path", "message"),
    [
        ({"steps": 0}, "steps", "must be greater than or equal to 1"),
        ({"num_envs": 0}, "num_envs", "must be greater than or equal to 1"),
        ({"epsilon_start": 0.1, "epsilon_end": 0.2}, "epsilon_end", "must be at most epsilon_start, 0.1"),
        ({"random_action_noise": 2}, "random_action_noise", "must be less than or equal to 1"),
        ({"updates_per_step": 0}, "updates_per_step", "must be greater than 0"),
        (
            {"network": "nature_dqn", "hidden_sizes": []},
            "hidden_sizes",
            "nature_dqn needs at least one width",
        ),
        (
            {"agent": "random", "learning_rate": 0.1},
            "learning_rate",
            "is not used by agent 'random': leave it out",
        ),
        (
            {"agent": "random", "epsilon_start": 0.1},
            "epsilon_start",
            "is not used by agent 'random': leave it out",
        ),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(collect: dict[str, object], path: str, message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        recipe(**collect)
    problems = [problem for problem in caught.value.problems if message in problem.message]
    assert [problem.path for problem in problems] == [("collect", path)]


@pytest.mark.parametrize("agent", ["random", "dqn"])
def test_a_recipe_comes_back_from_its_own_dump(agent: str) -> None:
    made = recipe(agent=agent)
    assert DatasetRecipe.model_validate_json(made.model_dump_json()) == made
