"""Recipes that import, link, or take a part of another dataset."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from search_spaces import DatasetRecipe, SpecificationError, Study, parse_study

IMPORT = {"format": "rlu-atari", "source": "gs://rl_unplugged/atari/Pong"}


def recipe(**way: Any) -> DatasetRecipe:
    return DatasetRecipe(**{"name": "d", "env": "atari/Pong", **way})


def test_ids_are_hashes_of_the_canonical_text_written_by_hand() -> None:
    texts = {
        '{"env":"atari/Pong","import":{"format":"rlu-atari","source":"gs://rl_unplugged/atari/Pong"}}': recipe(
            **{"import": {**IMPORT, "skip_bad_records": 0}}
        ).recipe_id(),
        '{"env":"atari/Pong","url":"s3://mine/pong"}': recipe(url="s3://mine/pong/").recipe_id(),
        '{"env":"atari/Pong","subset":{"fraction":0.1,"of":"abc"}}': recipe(
            subset={"of": "whole", "fraction": 0.1}
        ).recipe_id("abc"),
    }
    for text, found in texts.items():
        assert found == "recipe:" + hashlib.sha256(text.encode()).hexdigest()[:16]


def test_everything_in_a_recipe_counts() -> None:
    made = [
        recipe(**{"import": {**IMPORT, **change}})
        for change in (
            {},
            {"format": "rlu-atari-ordered"},
            {"source": "gs://rl_unplugged/atari/Qbert"},
            {"options": {"run": "2"}},
            {"shards": "0:9"},
            {"max_transitions": 5},
            {"skip_bad_records": 1},
            {"checksums": "SHA256SUMS"},
        )
    ]
    made += [
        recipe(subset={"of": "whole", **change})
        for change in (
            {"fraction": 0.1},
            {"fraction": 0.1, "seed": 1},
            {"prefix": 0.1},
            {"checkpoints": [0, 9]},
            {"returns": [0.9, 1.0]},
        )
    ]
    assert len({one.recipe_id("p") for one in made}) == len(made)
    assert made[-1].recipe_id("p") != made[-1].recipe_id("q"), "the parent counts"


@pytest.mark.parametrize(
    "way", [{"import": IMPORT}, {"url": "s3://mine/pong"}, {"subset": {"of": "whole", "returns": [0, 0.5]}}]
)
def test_a_recipe_comes_back_from_its_own_dump(way: dict[str, Any]) -> None:
    made = recipe(**way)
    (kind,) = way
    assert made.kind == kind
    assert DatasetRecipe.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("way", "path", "message"),
    [
        ({}, "", "needs either `existing: true`"),
        ({"import": IMPORT, "url": "s3://a/b"}, "", "needs either `existing: true`"),
        ({"import": {"format": "rlu-atari"}}, "import.source", "is missing"),
        (
            {"import": {**IMPORT, "skip_bad_records": -1}},
            "import.skip_bad_records",
            "greater than or equal to 0",
        ),
        ({"imports": IMPORT}, "imports", "did you mean 'import'?"),
        ({"url": "/local/folder"}, "url", "gs://, s3:// or https://"),
        ({"subset": {"of": "whole"}}, "subset", "at least one of checkpoints, prefix, returns and fraction"),
        ({"subset": {"of": "d", "prefix": 0.5}}, "subset.of", "is the dataset itself"),
        ({"subset": {"of": "w", "prefix": 0.0}}, "subset.prefix", "greater than 0"),
        ({"subset": {"of": "w", "prefix": 0.5, "seed": 2}}, "subset.seed", "is used with `fraction` only"),
        ({"subset": {"of": "w", "returns": [0.9, 0.1]}}, "subset.returns", "low < high"),
        ({"subset": {"of": "w", "checkpoints": [9, 1]}}, "subset.checkpoints", "first <= last"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(way: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        recipe(**way)
    if path:
        assert path in [".".join(map(str, problem.path)) for problem in caught.value.problems]
        assert message in str(caught.value)
    else:
        assert "needs either `existing: true`" in str(caught.value)


def study(datasets: dict[str, Any]) -> Study:
    content = {
        "study": "parts",
        "title": "Parts",
        "question": "Does the part matter?",
        "datasets": datasets,
        "spaces": [{"name": name, "base": {"dataset": name}} for name in datasets],
    }
    return Study(**content)


WHOLE = {"env": "atari/Pong", "import": IMPORT}
TENTH = {"env": "atari/Pong", "subset": {"of": "whole", "fraction": 0.1}}


def test_a_study_with_imports_and_subsets_comes_back_from_its_text() -> None:
    made = study({"whole": WHOLE, "tenth": TENTH})
    again = parse_study(made.text, "text")
    assert (again.datasets, again.trials()) == (made.datasets, made.trials())
    assert "import:" in made.text
    assert "import_" not in made.text


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        (
            {"whole": WHOLE, "tenth": {**TENTH, "subset": {"of": "hole", "fraction": 0.1}}},
            "did you mean 'whole'?",
        ),
        ({"whole": WHOLE, "tenth": {**TENTH, "env": "atari/Qbert"}}, "must be 'atari/Pong'"),
        (
            {
                "one": {"env": "atari/Pong", "subset": {"of": "other", "prefix": 0.5}},
                "other": {"env": "atari/Pong", "subset": {"of": "one", "prefix": 0.5}},
            },
            "leads back to the dataset itself",
        ),
    ],
)
def test_a_subset_of_nothing_or_of_itself_is_refused(datasets: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        study(datasets)
    assert message in str(caught.value)
