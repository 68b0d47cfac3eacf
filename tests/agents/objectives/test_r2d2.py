"""R2D2 against one plain agent of nn.LSTM, window by window and step by step."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_packs import a_member, a_pack, a_shape, assert_close, assert_same_bits, member_state
from small_worlds import ACTIONS, STATES, play
from torch import nn

from agents.errors import AgentError
from agents.measuring import ProbeBatch
from agents.objectives.r2d2 import rescaled, unrescaled
from agents.sequences import SequenceSampler
from agents.stored_states import StoredStates

LENGTHS = [7, 3, 12, 1, 9, 5, 4]
MEMBERS = [
    a_member(0, discount=0.99, target_update_period=3, optimizer_epsilon=1e-3),
    a_member(1, discount=0.6, target_update_period=2, optimizer_epsilon=1e-3, learning_rate=3e-3),
    a_member(2, discount=0.0, target_update_period=1, optimizer_epsilon=1e-3, data_fraction=0.5),
]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return play(tmp_path_factory.mktemp("data") / "played", LENGTHS, slots=3)


def r2d2_shape(**changes):
    return a_shape(
        **{
            "objective": "r2d2",
            "observation_shape": (STATES,),
            "num_actions": ACTIONS,
            "activation": "tanh",
            "hidden_sizes": (10,),
            "lstm_size": 6,
            "sequence_length": 6,
            "burn_in": 2,
            "sequence_shift": 2,
            **changes,
        }
    )


def r2d2_pack(dataset, members=MEMBERS, options=None, **changes):
    shape = r2d2_shape(**changes)
    sampler = SequenceSampler.for_shape(shape, members, dataset)
    return a_pack(shape, members, dataset.transitions, sequences=sampler, **(options or {}))


def train(pack, steps, chunk=5):
    until = pack.step + steps
    while pack.step < until:
        pack.update(pack.reader.sampler.windows(pack.step, min(chunk, until - pack.step)))
    return pack


# One plain agent


def h(x):
    return math.copysign(math.sqrt(abs(x) + 1) - 1, x) + 1e-3 * x


def inverse_of_h(y):
    """By bisection: nothing of the closed form."""
    low, high = -1e6, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if h(middle) < y else (low, middle)
    return low


def pytorch_order(rows):
    i, f, o, g = rows.chunk(4)
    return torch.cat([i, f, g, o])


class PlainR2D2:
    """Layers, nn.LSTM and head in ordinary PyTorch; every window is cut to its episode, so nothing is padded."""

    def __init__(self, shape, member, params):
        self.shape, self.member = shape, member
        self.online = nn.ModuleDict(
            {
                "0": nn.Linear(STATES, 10),
                "lstm": nn.LSTM(10, 6),
                "head": nn.Linear(6, ACTIONS),
            }
        ).double()
        self.load(self.online, params)
        self.target = copy.deepcopy(self.online)

    def load(self, modules, params):
        core = modules["lstm"]
        with torch.no_grad():
            for name in ("0", "head"):
                modules[name].weight.copy_(params[f"{name}.weight"])
                modules[name].bias.copy_(params[f"{name}.bias"])
            core.weight_ih_l0.copy_(pytorch_order(params["lstm.weight"]))
            core.weight_hh_l0.copy_(pytorch_order(params["lstm.recurrent"]))
            core.bias_ih_l0.copy_(pytorch_order(params["lstm.bias"]))
            core.bias_hh_l0.zero_()

    def run(self, modules, observations, state, cut):
        """Q ``[T, A]`` of the places from ``cut`` on, and the states after every place."""
        states, outputs = [state], []
        for place, observation in enumerate(observations):
            with torch.set_grad_enabled(torch.is_grad_enabled() and place >= cut):
                x = torch.tanh(modules["0"](observation))[None]
                out, state = modules["lstm"](x, state)
                states.append(state)
                if place >= cut:
                    outputs.append(modules["head"](out[0]))
        return torch.stack(outputs), states

    def loss(self, dataset, rows, valid, states):
        """Of windows ``rows`` and ``valid`` ``[B, L]`` from ``states`` (h, c of each), as the paper says it."""
        shape, gamma = self.shape, self.member.discount
        clip = shape.reward_clip or math.inf
        squash, unsquash = (h, inverse_of_h) if shape.value_rescaling else ((lambda x: x),) * 2
        terms, errors, values = [], [], []
        for window, real, state in zip(rows, valid, states, strict=True):
            own = window[real]
            seen = np.concatenate([dataset.observations(own), dataset.observations(own[-1:], following=True)])
            seen = torch.from_numpy(seen).double()
            cut = max(0, shape.burn_in - int(np.argmax(real)))
            online, _ = self.run(self.online, seen, state, cut)
            with torch.no_grad():
                target, _ = self.run(self.target, seen, state, cut)
            for place in range(cut, len(own)):
                total, left = 0.0, 1.0
                end = min(place + shape.n_step, len(own))
                for later in range(place, end):
                    reward = float(np.clip(dataset.arrays["reward"][own[later]], -clip, clip))
                    total += left * reward
                    left *= gamma * float(dataset.arrays["discount"][own[later]])
                best = int(online[end - cut].argmax())
                total += left * unsquash(float(target[end - cut, best]))
                q = online[place - cut, int(dataset.arrays["action"][own[place]])]
                wanted = torch.tensor(squash(total), dtype=torch.float64)
                penalty = F.huber_loss if shape.loss == "huber" else lambda a, b: 0.5 * F.mse_loss(a, b)
                terms.append(penalty(q, wanted))
                errors.append(abs(float(wanted - q.detach())))
                values.append(unsquash(float(q.detach())))
        self.td_error, self.q_mean = np.mean(errors), np.mean(values)
        return torch.stack(terms).mean()

    def gradients(self):
        core = self.online["lstm"]

        def ours(rows):
            i, f, g, o = rows.grad.chunk(4)
            return torch.cat([i, f, o, g]).float()

        found = {
            f"{name}.{kind}": getattr(self.online[name], kind).grad.float()
            for name in ("0", "head")
            for kind in ("weight", "bias")
        }
        return {
            **found,
            "lstm.weight": ours(core.weight_ih_l0),
            "lstm.bias": ours(core.bias_ih_l0),
            "lstm.recurrent": ours(core.weight_hh_l0),
        }


def plain(pack, place):
    peer = PlainR2D2(pack.shape, pack.members[place], {k: p[place] for k, p in pack.params.items()})
    peer.load(peer.target, {k: p[place] for k, p in pack.target_params.items()})
    return peer


def read(pack, windows, row):
    """The minibatch of a step as the update sees it."""
    for number, selected in enumerate(pack.reader.batches(windows)):
        if number == row:
            batch = pack.reader.read(selected)
            return batch if pack._states is None else batch._replace(state=pack._states.read(batch.number))
    raise AssertionError


SHAPES = {
    "plain": {"burn_in": 0, "value_rescaling": False},
    "burn-in": {"value_rescaling": False},
    "rescaled": {},
    "3 steps": {"n_step": 3},
    "more steps than there are": {"n_step": 9, "loss": "mse"},
    "clipped": {"reward_clip": 0.2, "n_step": 2},
    "longer than episodes": {"sequence_length": 15, "burn_in": 4, "n_step": 2},
    "nearly all burn-in": {"sequence_length": 4, "burn_in": 3, "sequence_shift": 1},
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_gradients_are_those_of_autograd_on_one_plain_recurrent_agent(played, changes):
    pack = r2d2_pack(played, **changes)
    noise = torch.Generator().manual_seed(1)
    for target in pack.target_params.values():
        target.add_(0.5 * torch.randn(target.shape, generator=noise))
    windows = pack.reader.sampler.windows(0, 1)
    rows, valid = pack.reader.sampler.rows(windows)
    batch = read(pack, windows, 0)
    assert not valid.all(), "some windows are padded"
    # States where windows begin: those whose first places are padding must not feel them.
    state = torch.randn(batch.state.shape, generator=noise)
    grads, report = pack.part(0, 3).gradients(batch._replace(state=state))
    zero = torch.zeros(2, 1, 6, dtype=torch.float64)
    for place in range(3):
        peer = plain(pack, place)
        begins = [
            tuple(s.double()[:, None]) if real[0] else tuple(zero)
            for s, real in zip(state[place], valid[0, place], strict=True)
        ]
        peer.loss(played, rows[0, place], valid[0, place], begins).backward()
        expected = peer.gradients()
        assert grads.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(grads[name][place], value, rtol=1e-5, atol=1e-6, msg=name)
        assert report.td_error[place].item() == pytest.approx(peer.td_error, rel=1e-4)
        assert report.q_mean[place].item() == pytest.approx(peer.q_mean, rel=1e-4, abs=1e-5)


def test_rescaling_and_its_inverse_are_the_papers():
    x = torch.tensor([-300.0, -2.0, -1e-3, 0.0, 1e-4, 0.5, 7.0, 1e4])
    torch.testing.assert_close(rescaled(x), torch.tensor([h(v) for v in x.tolist()]), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(unrescaled(rescaled(x)), x, rtol=1e-5, atol=1e-6)
    y = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(
        unrescaled(y), torch.tensor([inverse_of_h(v) for v in y.tolist()]), rtol=1e-5, atol=1e-6
    )
    wide = x.double().requires_grad_()
    assert torch.autograd.gradcheck(rescaled, (wide[[0, 1, 5, 6]],))


# Stored states


def test_a_window_goes_on_from_the_state_that_training_passed_through(played):
    pack = r2d2_pack(played, recurrent_state="stored", batch_size=16)
    sampler = pack.reader.sampler
    windows = sampler.windows(0, 30)
    rows, valid = sampler.rows(windows)
    first_row = {}
    table = [{} for _ in MEMBERS]
    for step in range(30):
        peers = [plain(pack, place) for place in range(3)]
        batch = read(pack, windows, step)
        for place in range(3):
            for column in range(16):
                real, number = valid[step, place, column], int(windows.number[step, place, column])
                at = int(rows[step, place, column][real][0])
                first_row.setdefault((place, number), at)
                assert first_row[place, number] == at, "a number is one window"
                expected = table[place].get(number, torch.zeros(2, 6))
                if not real[0]:
                    continue
                torch.testing.assert_close(batch.state[place, column], expected, rtol=1e-4, atol=1e-5)
        # What the windows of this step hand over, by a plain run through their episodes' transitions.
        for place in range(3):
            for column in range(16):
                real, handover = valid[step, place, column], int(windows.handover[step, place, column])
                number = int(windows.number[step, place, column])
                if handover == 0:
                    continue
                lead = int(np.argmax(real))
                own = rows[step, place, column][real]
                state = (
                    batch.state[place, column].double()[:, None]
                    if lead == 0
                    else torch.zeros(2, 1, 6).double()
                )
                steps = handover - lead
                if steps <= 0:
                    table[place][number + 1] = torch.zeros(2, 6)
                    continue
                seen = torch.from_numpy(played.observations(own[:steps])).double()
                with torch.no_grad():
                    _, states = peers[place].run(peers[place].online, seen, tuple(state), 0)
                table[place][number + 1] = torch.stack([part[0] for part in states[-1]]).float()
        pack.update(sampler.windows(step, 1))
    assert sum(len(one) for one in table) > 10
    assert pack._states.table[:, :-1].abs().sum() > 0


def test_the_number_after_is_the_next_window_of_the_episode(played):
    sampler = SequenceSampler([a_member(0)], played, 64, length=6, burn_in=2, shift=2)
    windows = sampler.windows(0, 40)
    begins = {}
    for begin, start, number in zip(
        windows.begin.ravel(), windows.start.ravel(), windows.number.ravel(), strict=True
    ):
        begins[int(number)] = (int(begin), int(start))
    assert len(begins) == sampler.most_windows
    for begin, start, number, handover in zip(
        *(part.ravel() for part in (windows.begin, windows.start, windows.number, windows.handover)),
        strict=True,
    ):
        following = begins.get(int(number) + 1, (None, None))
        if handover:
            assert following == (begin, start + handover)
        else:
            assert following[0] != begin


def test_of_a_window_that_is_drawn_twice_the_last_state_is_kept():
    states = StoredStates(1, 4, 2, torch.device("cpu"))
    number = torch.tensor([[1, 0, 1, 3]])
    left = torch.arange(16.0).view(1, 4, 2, 2)
    states.write(number, torch.tensor([[2, 2, 2, 0]]), left)
    assert torch.equal(states.table[0, 2], left[0, 2])
    assert torch.equal(states.table[0, 1], left[0, 1])
    assert not states.table[0, [0, 3, 4]].any()


def test_states_that_would_not_fit_are_refused():
    with pytest.raises(AgentError, match=r"'stored' needs 18\.6 GiB .* 9,765,624 windows of 1 members"):
        StoredStates(1, 9_765_624, 256, torch.device("cpu"))


# Packs


@pytest.mark.parametrize("strategy", ["fused", "looped"])
@pytest.mark.parametrize("state", ["zero", "stored"])
def test_a_member_learns_in_a_pack_what_it_learns_alone(played, strategy, state):
    changes = {"recurrent_state": state, "dropout": True, "n_step": 2}
    members = [m.model_copy(update={"dropout": 0.2 * place}) for place, m in enumerate(MEMBERS)]
    together = train(r2d2_pack(played, members, {"pack_size": 4, "strategy": strategy}, **changes), 12)
    assert together.active.all()
    for place, member in enumerate(members):
        alone = train(r2d2_pack(played, [member], **changes), 12)
        found, expected = member_state(together, place), member_state(alone, 0)
        for one in (found, expected):
            one.pop("recurrent_states", None)
        assert_close(found, expected, rtol=1e-4, atol=1e-5)


EVERYTHING = {
    "sam": {"sam": True},
    "weight decay": {"weight_decay": True},
    "polyak": {"polyak": True},
    "layer norm": {"layer_norm": True},
    "dropout": {"dropout": True},
    "srank_penalty": {"srank_penalty": True},
    "feature_norm": {"feature_norm": True},
    "relu cell": {"lstm_activation": "relu"},
    "linear": {"hidden_sizes": ()},
    "bottleneck": {"bottleneck": 4},
    "orthogonal": {"initialization": "orthogonal"},
}
NUMBERS = {
    "sam": {"sam_weight": 0.5},
    "weight decay": {"weight_decay": 0.1},
    "polyak": {"target_tau": 0.1},
    "dropout": {"dropout": 0.3},
    "srank_penalty": {"srank_penalty": 0.01},
    "feature_norm": {"feature_norm_weight": 0.01},
}


def test_members_in_groups_keep_the_states_of_their_own_windows(played):
    fused = train(r2d2_pack(played, recurrent_state="stored"), 12)
    groups = train(r2d2_pack(played, options={"members_at_once": 1}, recurrent_state="stored"), 12)
    assert fused.state_dict()["tensors"]["recurrent_states"].abs().sum() > 0
    for name, tensor in fused.state_dict()["tensors"].items():
        torch.testing.assert_close(
            groups.state_dict()["tensors"][name], tensor, rtol=1e-5, atol=1e-6, msg=name
        )
    indices = np.arange(20)
    one, other = (ProbeBatch(pack, indices).measure().measures for pack in (groups, fused))
    np.testing.assert_allclose(one["srank"], other["srank"])


@pytest.mark.parametrize("name", EVERYTHING)
def test_interventions_run_and_change_what_is_learnt(played, name):
    members = [a_member(3, **NUMBERS.get(name, {}))]
    changed = train(r2d2_pack(played, members, **EVERYTHING[name]), 5)
    control = train(r2d2_pack(played, [a_member(3)]), 5)
    assert changed.active.all()
    assert all(torch.isfinite(value).all() for value in changed.params.values())
    with pytest.raises(AssertionError):
        assert_same_bits(member_state(changed, 0), member_state(control, 0))


REGULARISERS = {
    "feature_norm_weight": ({"feature_norm": True}, lambda phi, after: phi.square().sum(1).mean()),
    "srank_penalty": (
        {"srank_penalty": True},
        # As if as many rows were learnt from as a minibatch has places.
        lambda phi, after: (
            8 * 4 / len(phi) * (torch.linalg.svdvals(phi)[[0, -1]] ** 2 * torch.tensor([1, -1])).sum()
        ),
    ),
    "dr3_weight": ({"dr3": "absolute"}, lambda phi, after: (phi * after).sum(1).abs().mean()),
}


@pytest.mark.parametrize("name", REGULARISERS)
def test_regularisers_act_on_the_features_of_the_steps_that_are_learnt_from(played, name):
    changes, term = REGULARISERS[name]
    members = [a_member(3, **{name: 0.25})]
    pack, control = r2d2_pack(played, members, **changes), r2d2_pack(played, [a_member(3)])
    batch = read(pack, pack.reader.sampler.windows(0, 1), 0)
    assert not batch.learns[..., 2:].all()
    one = torch.utils._pytree.tree_map(lambda leaf: leaf[0], (batch, pack.part(0, 1).hypers))
    params = {key: value[0] for key, value in pack.params.items()}
    with_it, without = (
        each.agent.loss(params, params, {}, *one, torch.zeros((), dtype=torch.int64))[0]
        for each in (pack, control)
    )
    peer, phi, after = plain(pack, 0), [], []
    rows, valid = (part[0, 0] for part in pack.reader.sampler.rows(pack.reader.sampler.windows(0, 1)))
    for window, real in zip(rows, valid, strict=True):
        own = window[real]
        seen = np.concatenate([played.observations(own), played.observations(own[-1:], following=True)])
        zero = tuple(torch.zeros(2, 1, 6).double())
        with torch.no_grad():
            _, states = peer.run(peer.online, torch.from_numpy(seen).double(), zero, 0)
        hidden = torch.stack([state[0][0] for state in states[1:]]).float()
        cut = max(0, 2 - int(np.argmax(real)))
        phi.append(hidden[cut:-1])
        after.append(hidden[cut + 1 :])
    expected = 0.25 * term(torch.cat(phi), torch.cat(after))
    torch.testing.assert_close(with_it - without, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("state", ["zero", "stored"])
def test_a_resumed_pack_goes_on_bit_for_bit(played, state):
    changes = {"recurrent_state": state, "dropout": True}
    members = [a_member(0, dropout=0.2), a_member(1, dropout=0.1)]
    whole = train(r2d2_pack(played, members, **changes), 20)
    half = train(r2d2_pack(played, members, **changes), 9, chunk=2)
    resumed = r2d2_pack(played, members, **changes)
    resumed.load_state_dict(half.state_dict())
    train(resumed, 11, chunk=4)
    for place in range(2):
        assert_same_bits(member_state(resumed, place), member_state(whole, place))


def test_in_bfloat16_the_recurrence_stays_in_float32(played):
    half = train(r2d2_pack(played, [a_member(3)], {"precision": "bfloat16"}, recurrent_state="stored"), 10)
    whole = train(r2d2_pack(played, [a_member(3)], recurrent_state="stored"), 10)
    assert half.active.all()
    found, expected = member_state(half, 0), member_state(whole, 0)
    assert not np.array_equal(found["params.lstm.recurrent"], expected["params.lstm.recurrent"])
    assert_close(found, expected, rtol=0.1, atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_pack_on_a_card_learns_what_one_on_the_cpu_does(played, compiled):
    changes = {"recurrent_state": "stored", "dropout": True, "n_step": 2}
    members = [a_member(0, dropout=0.2), a_member(1)]
    card = train(r2d2_pack(played, members, {"device": "cuda", "compile": compiled}, **changes), 10)
    cpu = train(r2d2_pack(played, members, **changes), 10)
    for place in range(2):
        assert_close(member_state(card, place), member_state(cpu, place), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.compiled
def test_a_compiled_pack_learns_what_an_eager_one_does(played, compile_cache):
    changes = {"recurrent_state": "stored", "dropout": True, "n_step": 2}
    members = [a_member(0, dropout=0.2), a_member(1)]
    eager = train(r2d2_pack(played, members, **changes), 10)
    compiled = train(r2d2_pack(played, members, {"compile": True}, **changes), 10)
    assert compiled.compiled
    for place in range(2):
        assert_close(member_state(compiled, place), member_state(eager, place), rtol=1e-3, atol=1e-4)


# Probes


def test_probes_see_each_transition_with_its_history(played):
    pack = train(r2d2_pack(played, sequence_length=8), 5)
    indices = np.random.default_rng(0).choice(len(played), 20, replace=False)
    batch = pack.reader.batch_at(torch.from_numpy(indices), 0, 3)
    part = pack.part(0, 3)
    outputs, features = part.apply_shared(batch.s_tm1)
    following, _ = part.apply_shared(batch.s_t)
    episode = played.arrays["episode"]
    for place in range(3):
        peer = plain(pack, place)
        for column, row in enumerate(indices):
            history = np.flatnonzero((episode == episode[row]) & (np.arange(len(played)) <= row))[-8:]
            seen = played.observations(history)
            last = played.observations(history[-1:], following=True)
            seen = torch.from_numpy(np.concatenate([seen, last])).double()
            with torch.no_grad():
                q, states = peer.run(peer.online, seen, tuple(torch.zeros(2, 1, 6).double()), 0)
            torch.testing.assert_close(outputs[place, column].double(), q[-2], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(following[place, column].double(), q[-1], rtol=1e-4, atol=1e-5)
            hidden = states[-2][0][0]
            torch.testing.assert_close(features[place, column].double(), hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(batch.a_tm1, played.arrays["action"][indices])
    np.testing.assert_array_equal(batch.r_t[1], played.arrays["reward"][indices])
    measures = ProbeBatch(pack, indices).measure().measures
    assert all(np.isfinite(values).all() for values in measures.values())
    values = [unrescaled(outputs[p])[torch.arange(20), batch.a_tm1].mean().item() for p in range(3)]
    np.testing.assert_allclose(measures["q_mean"], values, rtol=1e-5)


def test_the_td_error_of_probes_is_that_of_one_step(played):
    pack = train(r2d2_pack(played, n_step=3), 5)
    indices = np.arange(0, len(played), 3)
    batch = pack.reader.batch_at(torch.from_numpy(indices), 1, 2)
    part = pack.part(1, 2)
    q_t = part.apply_shared(batch.s_t)[0][0]
    rows = torch.arange(len(indices))
    target_params = {name: value[0] for name, value in part.target_params.items()}
    target = pack.agent.network.apply(target_params, batch.s_t)[0]
    worth = unrescaled(target[rows, q_t.argmax(1)])
    wanted = rescaled(batch.r_t[0] + 0.6 * batch.discount_t[0] * worth)
    q = part.apply_shared(batch.s_tm1)[0][0][rows, batch.a_tm1]
    expected = (wanted - q).abs().mean().item()
    assert ProbeBatch(pack, indices).measure().measures["td_error"][1] == pytest.approx(expected, rel=1e-5)


# Refusals


def test_a_pack_without_a_sampler_of_sequences_is_refused(played):
    with pytest.raises(AgentError, match=r"r2d2 learns from sequences.*SequenceSampler\.for_shape"):
        a_pack(r2d2_shape(), MEMBERS, played.transitions)


def test_a_sampler_of_other_lengths_is_refused(played):
    sampler = SequenceSampler.for_shape(r2d2_shape(sequence_length=8), MEMBERS, played)
    with pytest.raises(
        AgentError, match=r"sequences of 8 with burn-in 2 to 3 members; this pack needs 6, 2 and 3"
    ):
        a_pack(r2d2_shape(), MEMBERS, played.transitions, sequences=sampler)


def test_transition_numbers_are_refused_where_windows_are_learnt_from_and_the_other_way_round(played):
    pack = r2d2_pack(played)
    with pytest.raises(
        AgentError, match=r"r2d2 learns from Windows of SequenceSampler; the selection is a ndarray"
    ):
        pack.update(np.zeros((1, 3, 8), np.int64))
    feed_forward = a_pack(r2d2_shape(objective="dqn"), MEMBERS, played.transitions)
    with pytest.raises(AgentError, match=r"dqn learns from transition numbers of MinibatchSampler"):
        feed_forward.update(pack.reader.sampler.windows(0, 1))
