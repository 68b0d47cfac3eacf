"""Packs of the offline objectives: members are learnt side by side as they are alone, and compiled as eagerly."""

import pytest
import torch
from plain_learner import DATA, MEMBERS
from small_packs import a_pack, a_shape, assert_close, member_state, train

from agents import compilation
from agents.pack import Pack

SHAPES = {
    "bc": {},
    "cql": {},
    "qr_cql": {"num_quantiles": 7},
    "rem": {"num_heads": 7},
    "bcq": {},
    "qr_dqn": {"num_quantiles": 7},
    "c51": {"num_atoms": 7},
}
STABLE = [m.model_copy(update={"optimizer_epsilon": 1e-3, "target_update_period": 5}) for m in MEMBERS]


@pytest.mark.parametrize("strategy", ["fused", "looped"])
@pytest.mark.parametrize("objective", SHAPES)
def test_a_member_learns_in_a_pack_what_it_learns_alone(objective, strategy):
    shape = a_shape(objective=objective, dropout=True, **SHAPES[objective])
    together = train(a_pack(shape, STABLE, DATA, pack_size=4, strategy=strategy), DATA, 12)
    assert together.active.all()
    for place, member in enumerate(STABLE):
        alone = train(a_pack(shape, [member], DATA), DATA, 12)
        assert_close(member_state(together, place), member_state(alone, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(
    compilation.why_not_compile(torch.device("cpu")) is not None, reason="no C++ compiler here"
)
@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
@pytest.mark.parametrize(
    "objective",
    [name if name == "cql" else pytest.param(name, marks=pytest.mark.slow) for name in SHAPES],
)
def test_compiled_it_takes_the_same_steps(objective):
    shape = a_shape(objective=objective, dropout=True, hidden_sizes=(20,), **SHAPES[objective])
    compiled, eager = train(Pack(shape, STABLE, DATA), DATA, 12), train(a_pack(shape, STABLE, DATA), DATA, 12)
    assert compiled.compiled
    for place in range(len(STABLE)):
        assert_close(member_state(compiled, place), member_state(eager, place), rtol=2e-4, atol=2e-5)
