"""Devices, precisions and what runs on CUDA alone (skipped where there is none)."""

import numpy as np
import pytest
import torch
from small_packs import (
    a_member,
    a_pack,
    a_shape,
    assert_close,
    assert_same_bits,
    image_data,
    image_shape,
    member_state,
    sampler,
    train,
    vector_data,
)

from agents import devices
from agents.cuda_graphs import capture
from agents.errors import DeviceError
from agents.measuring import ProbeBatch
from agents.pack import Pack

CUDA = torch.cuda.is_available()
on_cuda = pytest.mark.skipif(not CUDA, reason="no CUDA device here")

DATA, IMAGES = vector_data(), image_data()
MEMBERS = [
    a_member(2, optimizer_epsilon=1e-4, dropout=0.2, discount=0.9, target_update_period=3),
    a_member(5, optimizer_epsilon=1e-4, learning_rate=1e-2, data_fraction=0.2),
]
CASES = [
    pytest.param(a_shape(dropout=True, objective="double_dqn"), DATA, id="mlp"),
    pytest.param(image_shape(dropout=True), IMAGES, id="images"),
]


@pytest.fixture(autouse=True)
def _settings_restored():
    """What `prepare_process` changes is the process's, and other tests count on its defaults."""
    cudnn, threads = torch.backends.cudnn, torch.get_num_threads()
    before = (torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    yield
    torch.set_float32_matmul_precision(before[0])
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before[1:]
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


def test_names_of_devices():
    assert devices.resolve_device("cpu") == torch.device("cpu")
    assert devices.resolve_device("auto").type == ("cuda" if CUDA else "cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "device 'gpu' is not supported; use auto, cpu, cuda or cuda:N"),
        ("cuda:999", r"device 'cuda:999' does not exist: PyTorch .* sees \d+ CUDA device.*Use --device cpu"),
        ("cuda:256", r"device 'cuda:256' does not exist"),
        ("cuda:x", "device 'cuda:x' is not supported"),
        ("cuda:", "device 'cuda:' is not supported"),
        ("cpu:1", r"device 'cpu:1' does not exist: PyTorch .* sees 1 CPU device"),
        ("mps", "device 'mps' is not supported; use auto, cpu, cuda or cuda:N"),
    ],
)
def test_devices_that_cannot_be_used_are_refused(name, message):
    with pytest.raises(DeviceError, match=message):
        devices.resolve_device(name)


@pytest.mark.skipif(CUDA, reason="CUDA is here")
def test_cuda_where_there_is_none_is_refused():
    with pytest.raises(
        DeviceError, match=r"sees 0 CUDA device\(s\)\. Use --device cpu, or install a CUDA build"
    ):
        devices.resolve_device("cuda")


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_precision_switches_agree_and_are_what_was_asked_for(precision):
    devices.prepare_process(1, precision)
    tf32 = precision == "tf32"
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    assert (matmul.fp32_precision == "tf32") is tf32
    assert (cudnn.conv.fp32_precision == "tf32") is tf32
    # Each of these raises where the old and the new switches say different things, as the compiler would find.
    assert matmul.allow_tf32 is tf32
    assert cudnn.allow_tf32 is tf32
    assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    assert devices.autocast_dtype(precision) == (torch.bfloat16 if precision == "bfloat16" else None)


def test_a_prepared_process_is_deterministic_and_flushes_denormals():
    devices.prepare_process(2, "float32")
    assert torch.get_num_threads() == 2
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    denormal = torch.tensor([1e-40])
    assert (denormal * 0.5).item() == 0


def test_data_on_the_cpu_are_not_copied():
    data, device = devices.resident(DATA, torch.device("cpu"))
    assert device == torch.device("cpu")
    assert data is DATA


# On a card -------------------------------------------------------------------------------------------------------


@pytest.fixture
def exact_card():
    if not CUDA:
        pytest.skip("no CUDA device here")
    devices.prepare_process(1, "float32")


def eager_on_card(shape, data, **options):
    """A pack on the card whose update is not captured: the same kernels, launched one by one."""
    pack = a_pack(shape, MEMBERS, data, device="cuda", **options)
    pack._update = pack._update_members
    return pack


@pytest.mark.usefixtures("exact_card")
@pytest.mark.parametrize(("shape", "data"), CASES)
@pytest.mark.parametrize("strategy", ["fused", "looped"])
def test_captured_updates_take_the_steps_of_eager_ones_bit_for_bit(shape, data, strategy):
    captured = a_pack(shape, MEMBERS, data, device="cuda", strategy=strategy)
    eager = eager_on_card(shape, data, strategy=strategy)
    train(captured, data, 25)
    train(eager, data, 25)
    assert_same_bits(captured.state_dict()["tensors"], eager.state_dict()["tensors"])
    np.testing.assert_array_equal(captured.take_mean_loss(), eager.take_mean_loss())


@pytest.mark.usefixtures("exact_card", "compile_cache")
@pytest.mark.compiled
@pytest.mark.parametrize(("shape", "data"), CASES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_and_captured_updates_take_the_steps_of_compiled_ones_bit_for_bit(shape, data, precision):
    captured = Pack(shape, MEMBERS, data, device="cuda", precision=precision)
    launched = Pack(shape, MEMBERS, data, device="cuda", precision=precision)
    launched._update = launched._update_members
    train(captured, data, 25)
    train(launched, data, 25)
    assert captured.compiled
    assert_same_bits(captured.state_dict()["tensors"], launched.state_dict()["tensors"])


@pytest.mark.usefixtures("exact_card")
@pytest.mark.parametrize(("shape", "data"), CASES)
def test_a_card_takes_the_steps_of_the_cpu(shape, data):
    card = train(a_pack(shape, MEMBERS, data, device="cuda"), data, 15)
    cpu = train(a_pack(shape, MEMBERS, data), data, 15)
    for place in range(2):
        assert_close(member_state(card, place), member_state(cpu, place), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("exact_card")
@pytest.mark.parametrize(("shape", "data"), CASES)
def test_data_too_large_for_the_card_are_streamed_with_the_same_result(shape, data, monkeypatch):
    resident = a_pack(shape, MEMBERS, data, device="cuda")
    assert resident.reader.data.frames.is_cuda
    assert resident.reader.data.frames.dtype == data.frames.dtype
    monkeypatch.setattr(devices, "RESIDENT_SHARE", 0.0)
    streamed = a_pack(shape, MEMBERS, data, device="cuda")
    assert not streamed.reader.data.frames.is_cuda
    train(resident, data, 25)
    train(streamed, data, 25)
    assert_same_bits(resident.state_dict()["tensors"], streamed.state_dict()["tensors"])


@pytest.mark.usefixtures("exact_card")
def test_a_captured_pack_resumes_bit_for_bit_after_its_graph_was_recorded():
    shape = a_shape(dropout=True)
    pack = train(a_pack(shape, MEMBERS, DATA, device="cuda"), DATA, 10)
    state = pack.state_dict()
    train(pack, DATA, 10)
    fresh = a_pack(shape, MEMBERS, DATA, device="cuda")
    fresh.load_state_dict(state)
    train(fresh, DATA, 10)
    assert_same_bits(fresh.state_dict()["tensors"], pack.state_dict()["tensors"])
    # Loading writes into the tensors that the graph replays on.
    pack.load_state_dict(state)
    train(pack, DATA, 10)
    assert_same_bits(fresh.state_dict()["tensors"], pack.state_dict()["tensors"])


@pytest.mark.usefixtures("exact_card")
def test_two_captured_packs_of_one_process_do_not_disturb_each_other():
    first = a_pack(a_shape(dropout=True), MEMBERS, DATA, device="cuda")
    alone = train(eager_on_card(a_shape(dropout=True), DATA), DATA, 20)
    second = a_pack(image_shape(dropout=True), MEMBERS, IMAGES, device="cuda")
    for _ in range(4):
        train(first, DATA, 5)
        train(second, IMAGES, 5)
    assert_same_bits(first.state_dict()["tensors"], alone.state_dict()["tensors"])


@pytest.mark.usefixtures("exact_card")
def test_a_diverged_member_is_frozen_in_a_replayed_graph():
    members = [MEMBERS[0], MEMBERS[1].model_copy(update={"learning_rate": 1e12})]
    shape = a_shape(dropout=True, loss="mse")
    wild = train(a_pack(shape, members, DATA, device="cuda"), DATA, 30)
    calm = train(a_pack(shape, MEMBERS, DATA, device="cuda"), DATA, 30)
    assert wild.active.tolist() == [True, False]
    assert 1 < wild.diverged_at[1] < 30
    assert_same_bits(member_state(wild, 0), member_state(calm, 0))


@pytest.mark.usefixtures("exact_card")
def test_probes_and_values_on_a_card_are_those_of_the_cpu():
    shape, indices = image_shape(), np.arange(40)
    members = [member.model_copy(update={"dropout": 0.0}) for member in MEMBERS]
    card, cpu = (train(a_pack(shape, members, IMAGES, device=d), IMAGES, 5) for d in ("cuda", "cpu"))
    cpu.load_state_dict(card.state_dict())
    on_card, on_cpu = (ProbeBatch(pack, indices).measure() for pack in (card, cpu))
    for name, values in on_cpu.measures.items():
        np.testing.assert_allclose(on_card.measures[name], values, rtol=1e-3, atol=1e-5, err_msg=name)
    observations = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 36, 36), dtype=np.uint8)
    values = card.q_values(observations).cpu()
    torch.testing.assert_close(values, cpu.q_values(observations), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one card or none here")
def test_a_pack_on_the_second_card_is_captured_there():
    first, second = (
        train(a_pack(a_shape(dropout=True), MEMBERS, DATA, device=f"cuda:{card}"), DATA, 20)
        for card in (0, 1)
    )
    assert_same_bits(first.state_dict()["tensors"], second.state_dict()["tensors"])


@on_cuda
def test_capture_restores_the_state_after_its_trial_runs():
    state = {"x": torch.zeros(3, device="cuda")}

    def add(amount):
        state["x"] += amount["by"]

    run = capture(add, state)
    for number in (1.0, 10.0, 100.0):
        run({"by": torch.full((3,), number, device="cuda")})
    assert state["x"].tolist() == [111.0] * 3


@on_cuda
def test_minibatches_on_a_card_are_those_of_the_cpu():
    card, cpu = (a_pack(image_shape(), MEMBERS, IMAGES, device=device) for device in ("cuda", "cpu"))
    indices = sampler(cpu, IMAGES).indices(0, 1)
    batches = [p.reader.read(p.reader.select(p.reader.stage(indices), 0)) for p in (card, cpu)]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.cpu(), other)
