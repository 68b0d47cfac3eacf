"""A pack whose members are computed some at a time: the same learners in less memory."""

import numpy as np
import pytest
import torch
from small_packs import (
    a_member,
    a_pack,
    a_shape,
    assert_close,
    image_data,
    image_shape,
    sampler,
    train,
    vector_data,
)

from agents.compilation import why_not_compile
from agents.errors import AgentError
from agents.groups import fewer_at_once
from agents.measuring import LayerProbe, ProbeBatch
from agents.pack import Pack

DATA, IMAGES = vector_data(), image_data()
NUMBERS = {"optimizer_epsilon": 1e-4, "target_update_period": 3}
MEMBERS = [
    a_member(seed, learning_rate=rate, discount=0.9 + 0.01 * seed, **NUMBERS)
    for seed, rate in enumerate([1e-3, 1e-2, 3e-3, 1e-4, 2e-3])
]
REGULARISED = [
    m.model_copy(
        update={"dropout": 0.2, "curl_weight": 0.1, "sam_weight": 0.5, "dr3_weight": 0.01, "target_tau": 0.1}
    )
    for m in MEMBERS
]
CASES = {
    "mlp": (a_shape(objective="double_dqn"), MEMBERS, DATA),
    "images": (image_shape(), MEMBERS, IMAGES),
    "momentum": (a_shape(optimizer="rmsprop_centered", momentum=True, weight_decay=True), MEMBERS, DATA),
    "everything": (
        a_shape(dropout=True, curl=True, sam=True, dr3="dot", polyak=True),
        REGULARISED,
        DATA,
    ),
}


def state_of(pack):
    return {name: tensor.numpy() for name, tensor in pack.state_dict()["tensors"].items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("at_once", [3, 1])
def test_members_in_groups_learn_what_they_learn_all_at_once(case, at_once):
    shape, members, data = CASES[case]
    # One slot is padding: a pack of five is compiled as one of six.
    fused = train(a_pack(shape, members, data, pack_size=6), data, 12)
    groups = train(a_pack(shape, members, data, pack_size=6, members_at_once=at_once), data, 12)
    assert_close(state_of(groups), state_of(fused))
    np.testing.assert_allclose(groups.take_mean_loss(), fused.take_mean_loss(), rtol=1e-5)


def test_a_looped_pack_can_be_in_groups_too():
    shape, members, data = CASES["everything"]
    fused = train(a_pack(shape, members, data, pack_size=6), data, 12)
    looped = a_pack(shape, members, data, pack_size=6, members_at_once=2, strategy="looped")
    assert_close(state_of(train(looped, data, 12)), state_of(fused))


def test_a_member_that_diverges_in_one_group_leaves_the_others_alone():
    wild = [*MEMBERS[:3], MEMBERS[3].model_copy(update={"learning_rate": 1e12})]
    shape = a_shape(loss="mse")
    pack = train(a_pack(shape, wild, DATA, members_at_once=2), DATA, 30)
    assert pack.active.tolist() == [True, True, True, False]
    assert 0 < pack.diverged_at[3] < 30
    calm = train(a_pack(shape, MEMBERS[:4], DATA, members_at_once=2), DATA, 30)
    for name, tensor in pack.state_dict()["tensors"].items():
        if tensor.dim():
            assert torch.equal(tensor[:3], calm.state_dict()["tensors"][name][:3]), name


def test_a_pack_goes_on_in_groups_from_a_checkpoint_of_all_at_once():
    shape, members, data = CASES["everything"]
    begun = train(a_pack(shape, members, data, pack_size=6), data, 6)
    whole = begun.state_dict()
    groups = a_pack(shape, members, data, pack_size=6, members_at_once=2)
    groups.load_state_dict(whole)
    assert_close(state_of(train(groups, data, 6)), state_of(train(begun, data, 6)))


def test_minibatches_are_the_same_bits_in_groups():
    fused, groups = (a_pack(a_shape(), MEMBERS[:4], DATA, members_at_once=n) for n in (None, 2))
    seen = {}
    for name, pack in (("fused", fused), ("groups", groups)):
        inner, seen[name] = pack.reader.read, []

        def read(selected, columns, inner=inner, kept=seen[name]):
            kept.append(inner(selected, columns))
            return kept[-1]

        pack.reader.read = read
        pack.update(sampler(pack, DATA).indices(0, 1))
    (whole,), halves = seen["fused"], seen["groups"]
    assert len(halves) == 2
    for field in ("s_tm1", "a_tm1", "r_t", "discount_t", "s_t"):
        together = torch.cat([getattr(half, field) for half in halves])
        assert torch.equal(together, getattr(whole, field)), field


def test_values_and_probes_are_the_same_in_groups():
    shape, members, data = CASES["images"]
    fused, groups = (a_pack(shape, members, data, pack_size=6, members_at_once=n) for n in (None, 2))
    observations = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 36, 36), dtype=np.uint8)
    for one, other in zip(groups.action_values(observations), fused.action_values(observations), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    indices = np.arange(40)
    for probe in (ProbeBatch, lambda pack, of: LayerProbe(pack, of, 0.01, ProbeBatch(pack, of).initial)):
        one, other = probe(groups, indices).measure(), probe(fused, indices).measure()
        assert one.measures.keys() == other.measures.keys()
        for name, values in other.measures.items():
            np.testing.assert_allclose(one.measures[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
@pytest.mark.skipif(why_not_compile(torch.device("cpu")) is not None, reason="no C++ compiler here")
def test_groups_share_what_was_compiled_for_the_first_and_learn_as_eagerly(monkeypatch):
    shape = a_shape(hidden_sizes=(11,))
    compiled = Pack(shape, MEMBERS[:4], DATA, members_at_once=2)
    train(compiled, DATA, 1)
    monkeypatch.setattr(torch._dynamo.config, "error_on_recompile", True)
    train(compiled, DATA, 11)
    assert compiled.compiled
    eager = train(a_pack(shape, MEMBERS[:4], DATA), DATA, 12)
    assert_close(state_of(compiled), state_of(eager), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("at_once", [0, 4, 7])
def test_groups_of_unequal_size_are_refused(at_once):
    with pytest.raises(
        AgentError, match=f"members_at_once {at_once} does not divide a pack of 6 .*: give one of 1, 2, 3, 6"
    ):
        a_pack(a_shape(), MEMBERS, DATA, pack_size=6, members_at_once=at_once)


def test_halving_ends_at_one():
    def halvings(size):
        found = [size]
        while found[-1] > 1:
            found.append(fewer_at_once(size, found[-1]))
        return found

    assert halvings(64) == [64, 32, 16, 8, 4, 2, 1]
    assert halvings(12) == [12, 6, 3, 1]
    assert halvings(20) == [20, 10, 5, 2, 1]
    assert halvings(3) == [3, 1]
    assert fewer_at_once(1, 1) == 1
