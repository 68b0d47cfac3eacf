"""The compiled update against the eager one, and the way round where nothing can be compiled."""

import logging
import stat

import pytest
import torch
from small_packs import (
    a_member,
    a_pack,
    a_shape,
    assert_close,
    assert_same_bits,
    member_state,
    train,
    vector_data,
)

from agents import compilation
from agents.hashing import keep_mask, step_key
from agents.pack import Pack

DATA = vector_data()
MEMBERS = [
    a_member(2, optimizer_epsilon=1e-4, dropout=0.2, discount=0.9, target_update_period=3),
    a_member(5, optimizer_epsilon=1e-4, learning_rate=1e-2, data_fraction=0.2),
]
PLAIN = [member.model_copy(update={"dropout": 0.0}) for member in MEMBERS]
DROPOUT = a_shape(dropout=True, reward_clip=1.0, hidden_sizes=(40,))
DOUBLE = a_shape(objective="double_dqn", optimizer="sgd", loss="mse", hidden_sizes=(40,))
CPU = torch.device("cpu")


@pytest.fixture
def warnings_of_this_test(monkeypatch, caplog):
    monkeypatch.setattr(compilation, "_warned", False)
    caplog.set_level(logging.WARNING, logger="agents.compilation")
    return caplog


def has_compiler():
    return compilation.why_not_compile(CPU) is None


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C++ compiler here")


@needs_compiler
@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
def test_two_compiled_packs_of_one_process_train_like_eager_ones(warnings_of_this_test):
    adam, sgd = Pack(DROPOUT, MEMBERS, DATA, pack_size=3), Pack(DOUBLE, PLAIN, DATA)
    for pack in (adam, sgd):
        eager = train(a_pack(pack.shape, pack.members, DATA), DATA, 30)
        train(pack, DATA, 30)
        assert pack.compiled
        for place in range(2):
            assert_close(member_state(pack, place), member_state(eager, place), rtol=2e-4, atol=2e-5)
    assert not warnings_of_this_test.records

    # Resumed compiled, from another pack's state: bit for bit the compiled pack that was never stopped.
    resumed = Pack(DROPOUT, MEMBERS, DATA, pack_size=3)
    resumed.load_state_dict(adam.state_dict())
    train(resumed, DATA, 10)
    train(adam, DATA, 10)
    assert resumed.compiled
    assert_same_bits(resumed.state_dict()["tensors"], adam.state_dict()["tensors"])


@needs_compiler
@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
def test_a_compiled_member_that_diverges_leaves_its_neighbour_bit_equal():
    calm = Pack(DOUBLE, PLAIN, DATA)
    wild = Pack(DOUBLE, [PLAIN[0], PLAIN[1].model_copy(update={"learning_rate": 1e12})], DATA)
    train(calm, DATA, 30)
    train(wild, DATA, 30)
    assert wild.compiled
    assert wild.active.tolist() == [True, False]
    assert 1 < wild.diverged_at[1] < 30
    assert_same_bits(member_state(wild, 0), member_state(calm, 0))


@needs_compiler
@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
def test_dropout_masks_are_the_same_bits_compiled():
    def masks(keys, step, probabilities):
        def one(key, probability):
            return keep_mask(step_key(key, step), 1, torch.Size((32, 64)), probability)

        return torch.func.vmap(one)(keys, probabilities)

    compiled = torch.compile(masks, fullgraph=True, dynamic=False)
    keys, probabilities = torch.tensor([1, 2**31 + 5, 2**32 - 1]), torch.tensor([0.1, 0.5, 0.999])
    for step in (0, 1, 12345):
        eager = masks(keys, torch.tensor(step), probabilities)
        assert torch.equal(compiled(keys, torch.tensor(step), probabilities), eager)
        assert eager.any()
        assert not eager.all()


def test_without_a_compiler_packs_run_eagerly_with_one_warning(monkeypatch, warnings_of_this_test, tmp_path):
    expected = train(a_pack(a_shape(dropout=True), MEMBERS, DATA), DATA, 5).state_dict()["tensors"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    for _ in range(2):
        pack = Pack(a_shape(dropout=True), MEMBERS, DATA)
        train(pack, DATA, 5)
        assert not pack.compiled
        assert_same_bits(pack.state_dict()["tensors"], expected)
    [record] = warnings_of_this_test.records
    message = record.getMessage()
    assert "training runs eagerly, about 4 times slower" in message
    assert "no C++ compiler was found (looked for $CXX, g++" in message
    assert "apt-get install g++" in message


@pytest.fixture
def broken_compiler(monkeypatch, tmp_path):
    """A compiler that is there, gives its version, and compiles nothing."""
    from torch._inductor import config

    script = tmp_path / "broken-g++"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "broken 1.0" && exit 0\nexit 1\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", str(script))
    with config.patch({"cpp.cxx": (None, str(script))}):
        yield


@pytest.mark.compiled
@pytest.mark.usefixtures("broken_compiler")
@pytest.mark.parametrize("resumed", [False, True])
def test_a_compiler_that_fails_is_survived_with_one_warning_and_no_step_lost(warnings_of_this_test, resumed):
    # A width that no other test compiles, or its kernels would be found in memory.
    shape = a_shape(hidden_sizes=(37 + resumed,))
    eager, pack = a_pack(shape, MEMBERS[1:], DATA), Pack(shape, MEMBERS[1:], DATA)
    if resumed:
        train(eager, DATA, 4)
        pack.load_state_dict(eager.state_dict())
    assert pack.compiled, "what is known before the first update"
    train(eager, DATA, 6)
    train(pack, DATA, 6)
    assert not pack.compiled
    assert_same_bits(pack.state_dict()["tensors"], eager.state_dict()["tensors"])
    [record] = warnings_of_this_test.records
    assert "compilation failed (InductorError: CppCompileError" in record.getMessage()


def test_the_cache_folder_is_made_and_named_to_the_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "before")
    monkeypatch.setenv("TRITON_CACHE_DIR", "before")
    compilation.use_compile_cache(tmp_path / "a" / "b")
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    assert cache_dir() == str(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
