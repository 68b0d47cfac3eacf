"""The pack: many agents of one shape, trained together on one device.

A single trial is a pack of one. Members share nothing but the arithmetic: each has its own parameters,
numbers, minibatches and random bits, and one that diverges is frozen while its neighbours go on.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from agents.agent import Agent
from agents.columns import Columns
from agents.compilation import CompiledUpdate
from agents.cuda_graphs import capture
from agents.data import Transitions
from agents.devices import Precision, autocast_dtype, resident
from agents.errors import AgentError
from agents.groups import Group, rows_of, slices
from agents.mitigations import MemberState, Mitigations
from agents.networks import Parameters
from agents.objectives import Batch, Hypers, LossOutput
from agents.optimizers import OptimizerHypers, build_optimizer, init_state
from agents.sampling import MinibatchSampler
from agents.sequence_reader import SequenceReader
from agents.sequences import SequenceSampler, Windows
from agents.spec import LearnerShape, MemberHypers, check_members
from agents.stored_states import StoredStates
from agents.transitions import BatchReader

Strategy = Literal["fused", "looped"]


class Pack:
    """Stacked agents and their update.

    ``members`` train on ``data``; where ``pack_size`` exceeds their number the rest is padding that costs
    arithmetic but compiles to a shape that other packs share. ``strategy`` "fused" runs one vectorised
    computation for all members (``vmap``); "looped" runs the same function member by member, which can be
    faster where one member fills the device. ``columns`` are what the objective reads beside the transitions
    (``agents.columns``). ``members_at_once``, which divides the pack's size, bounds memory: that many are updated,
    asked or measured together, one such group after the other; None is all of them. A recurrent objective needs
    ``sequences``, the sampler of its members' windows; its selections are ``Windows`` in place of transition numbers,
    and states of its own that windows begin with can be part of its state. Raises AgentError if the shape, the data,
    the columns and the sampler do not fit.
    """

    def __init__(
        self,
        shape: LearnerShape,
        members: Sequence[MemberHypers],
        data: Transitions,
        columns: Columns | None = None,
        *,
        sequences: SequenceSampler | None = None,
        pack_size: int | None = None,
        device: str | torch.device = "cpu",
        compile: bool = True,
        strategy: Strategy = "fused",
        precision: Precision = "float32",
        members_at_once: int | None = None,
    ) -> None:
        if not members:
            raise AgentError("a pack needs at least one member; got none.")
        size = pack_size or len(members)
        if size < len(members):
            raise AgentError(
                f"pack_size {size} is smaller than its {len(members)} members; give at least {len(members)}."
            )
        check_members(shape, members)
        self.shape, self.members, self.size = shape, tuple(members), size
        self.members_at_once = size if members_at_once is None else members_at_once
        self._rows = slices(size, self.members_at_once)
        self.device = torch.device(device)
        self.strategy: Strategy = strategy
        dtype = autocast_dtype(precision)
        self.agent = Agent(shape, None if dtype is None else (self.device.type, dtype))
        beside = (columns or Columns()).padded(size, self.device)
        self._states: StoredStates | None = None
        self.reader: BatchReader | SequenceReader
        if self.agent.objective.recurrent:
            sampler = _checked_sampler(shape, members, sequences)
            self.reader = SequenceReader(resident(data, self.device), shape, sampler)
            if shape.recurrent_state == "stored":
                self._states = StoredStates(size, sampler.most_windows, shape.lstm_size, self.device)
        else:
            _check_columns(self.agent, beside)
            self.reader = BatchReader(resident(data, self.device), shape, beside)
        self.step = 0
        self._optimizer = build_optimizer(shape)

        padded = [*members, *[members[-1]] * (size - len(members))]
        self.params = self._initial_params(padded)
        self.target_params = {name: p.clone() for name, p in self.params.items()}
        # CURL's momentum encoder; nothing else needs a third copy.
        self.slow_params = {name: p.clone() for name, p in self.params.items() if shape.curl}
        self._mitigations = Mitigations(self.agent, padded, self.params)
        self._shares = MinibatchSampler(members, data.subset_order.numpy(), 0) if self._mitigations else None
        self._optimizer.clocks = self._mitigations.clocks
        self._optimizer_state = init_state(self._optimizer, self.params)
        self._step = torch.zeros((), dtype=torch.int64, device=self.device)
        self._active = torch.arange(size, device=self.device) < len(members)
        self._diverged_at = torch.full((size,), -1, dtype=torch.int64, device=self.device)
        self._loss_sum = torch.zeros(size, dtype=torch.float64, device=self.device)
        self._summed_steps = torch.zeros(size, dtype=torch.float64, device=self.device)
        self._loss_hypers, self._optimizer_hypers = self._stack_hypers(padded)
        self._periods = np.array([member.target_update_period for member in padded])
        self._target_tau = self._vector([member.target_tau for member in padded])
        self._curl_momentum = self._vector([member.curl_momentum for member in padded])
        whole = self._all_members(beside)
        self._groups = [whole] if len(self._rows) == 1 else [rows_of(whole, rows) for rows in self._rows]
        self._update_one: Callable[[Any], None] = self._update_group
        self._compiled = CompiledUpdate(self._update_group, self.device) if compile else None
        if self._compiled is not None:
            self._update_one = self._compiled
        self._update: Callable[[Any], None] = self._update_members
        if self.device.type == "cuda":
            self._update = capture(self._update_members, self._mutable_state())

    # Training -----------------------------------------------------------------------------------------------

    def update(self, selection: np.ndarray | Windows) -> None:
        """One gradient step for each row of ``selection``: transition numbers, int64 ``[K, N, B]``, or as many windows.

        Raises AgentError for the wrong kind or number of them.
        """
        steps, members, batch = selection.shape
        if (members, batch) != (len(self.members), self.shape.batch_size):
            raise AgentError(
                f"indices have shape {selection.shape}; this pack needs "
                f"[steps, {len(self.members)}, {self.shape.batch_size}]."
            )
        recurrent = self.agent.objective.recurrent
        if isinstance(selection, Windows) is not recurrent:
            wanted = "Windows of SequenceSampler" if recurrent else "transition numbers of MinibatchSampler"
            raise AgentError(
                f"objective {self.shape.objective} learns from {wanted}; the selection is a {type(selection).__name__}."
            )
        chosen = self.reader.stage(_padded(selection, self.size))  # type: ignore[arg-type]
        counts = self._mitigations.update_counts(self.step, steps)
        corrections = torch.from_numpy(self._optimizer.corrections(self._optimizer_hypers, counts)).to(
            self.device
        )
        for row, selected in enumerate(self.reader.batches(chosen)):  # type: ignore[arg-type]
            self._mitigate()
            self._update((selected, corrections[row]))
            self.step += 1
            self._refresh_targets()

    def take_mean_loss(self) -> np.ndarray:
        """Mean training loss since the last call: float64 ``[N]``, NaN for a member that took no step."""
        mean: np.ndarray = (self._loss_sum / self._summed_steps).cpu().numpy()[: len(self.members)]
        self._loss_sum.zero_()
        self._summed_steps.zero_()
        return mean

    @torch.no_grad()
    def freeze_overflowed(self) -> None:
        """Members whose parameters are no longer finite have diverged at the last step taken.

        The update judges a step by its loss, before it changes parameters: what a step does to them shows in the
        loss of the next. Call this before members are measured, and after the last step.
        """
        whole = torch.ones_like(self._active)
        for param in self.params.values():
            whole &= torch.isfinite(param).flatten(1).all(1)
        self._diverged_at.copy_(torch.where(self._active & ~whole, self._step, self._diverged_at))
        self._active &= whole

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def compiled(self) -> bool:
        """Whether updates run compiled; a compiler that fails at the first update makes it False."""
        return self._compiled is not None and self._compiled.compiled

    @property
    def device_name(self) -> str:
        """The card's name, or "cpu"."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    @property
    def input_size(self) -> int:
        """Numbers that an input of ``batch_at`` takes: of an observation, or of a history and passes over it."""
        return self.reader.input_size

    @property
    def active(self) -> np.ndarray:
        """Members that still learn, bool ``[N]``."""
        return self._active[: len(self.members)].cpu().numpy()

    @property
    def diverged_at(self) -> np.ndarray:
        """The step whose loss, or what it made of the parameters, was not finite, int64 ``[N]``; -1: not diverged."""
        return self._diverged_at[: len(self.members)].cpu().numpy()

    # Reading ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def q_values(self, observations: np.ndarray | Tensor) -> Tensor:
        """Q-values ``[N, B, A]`` float32 of observations ``[N, B, *observation_shape]``, without dropout."""
        return self.action_values(observations)[0]

    @torch.no_grad()
    def action_values(self, observations: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
        """What ``q_values`` gives, and preferences of the same shape, whose largest is the action to take."""
        given = torch.as_tensor(observations)
        found = []
        for first, last in self.parts(len(given)):
            part = self.part(first, last)
            outputs, _ = part.apply(self.reader.as_input(given[first:last]))
            found.append((part.q_values(outputs), part.preferences(outputs)))
        values, preferences = zip(*found, strict=True)
        return torch.cat(values), torch.cat(preferences)

    def parts(self, members: int) -> list[tuple[int, int]]:
        """The first of the groups that are looked at together, and the one after its last, of ``members`` members."""
        return [
            (first, min(first + self.members_at_once, members))
            for first in range(0, members, self.members_at_once)
        ]

    def part(self, first: int, last: int) -> "Members":
        """Members ``first`` … ``last - 1``, to be looked at."""
        return Members(self, first, last)

    # State --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors on the CPU and plain numbers.

        Minibatches and dropout need no entry: they are functions of the seed and the step.
        """
        return {
            "step": self.step,
            "tensors": {name: t.detach().cpu().clone() for name, t in self._mutable_state().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state``. Raises AgentError where a tensor is missing or has another shape."""
        mine = self._mutable_state()
        for name, tensor in mine.items():
            saved = state["tensors"].get(name)
            if saved is None or saved.shape != tensor.shape or saved.dtype != tensor.dtype:
                found = "nothing" if saved is None else f"{saved.dtype} {tuple(saved.shape)}"
                raise AgentError(
                    f"checkpoint does not fit this pack: {name} should be {tensor.dtype} {tuple(tensor.shape)}, "
                    f"found {found}. It was written by another configuration or version."
                )
        with torch.no_grad():
            for name, tensor in mine.items():
                tensor.copy_(state["tensors"][name])
        self.step = int(state["step"])

    def _mutable_state(self) -> dict[str, Tensor]:
        return {
            **{f"params.{k}": v for k, v in self.params.items()},
            **{f"target.{k}": v for k, v in self.target_params.items()},
            **{f"slow.{k}": v for k, v in self.slow_params.items()},
            **{f"optimizer.{k}": v for k, v in self._optimizer_state.items()},
            "step": self._step,
            "active": self._active,
            "diverged_at": self._diverged_at,
            "loss_sum": self._loss_sum,
            "summed_steps": self._summed_steps,
            **({} if self._states is None else {"recurrent_states": self._states.table}),
        }

    # The update ---------------------------------------------------------------------------------------------

    def _all_members(self, columns: Columns) -> Group:
        return Group(
            params=self.params,
            target_params=self.target_params,
            slow_params=self.slow_params,
            optimizer_state=self._optimizer_state,
            loss_hypers=self._loss_hypers,
            optimizer_hypers=self._optimizer_hypers,
            columns=columns,
            target_tau=self._target_tau,
            curl_momentum=self._curl_momentum,
            active=self._active,
            diverged_at=self._diverged_at,
            loss_sum=self._loss_sum,
            summed_steps=self._summed_steps,
            recurrent_states=None if self._states is None else self._states.table,
        )

    def _update_members(self, inputs: tuple[Any, Tensor]) -> None:
        """One step of every member, in place. Everything it reads and writes is a tensor of fixed shape."""
        chosen, corrections = inputs
        if len(self._groups) == 1:
            self._update_one((self._groups[0], chosen, corrections))
        else:
            for rows, group in zip(self._rows, self._groups, strict=True):
                self._update_one((group, rows_of(chosen, rows), corrections[..., rows]))
            self._step.add_(1)

    def _update_group(self, work: tuple[Group, Any, Tensor]) -> None:
        """One step of a group's members. What differs between groups is an argument: they share compiled code."""
        group, chosen, corrections = work
        batch: Any = self.reader.read(chosen, group.columns)
        if self._states is not None:
            batch = batch._replace(state=self._states.read(batch.number, group.recurrent_states))
        args = (group.params, group.target_params, group.slow_params, batch, group.loss_hypers)
        if self.strategy == "fused":
            grads, (loss, report) = vmap(self.agent.gradient, in_dims=(0, 0, 0, 0, 0, None))(
                *args, self._step
            )
        else:
            grads, (loss, report) = _one_by_one(self.agent.gradient, self.members_at_once, args, self._step)
        if self._states is not None:
            self._states.write(batch.number, batch.handover, report.carried["state"], group.recurrent_states)
        finite = torch.isfinite(loss)
        still_active = group.active & finite
        group.diverged_at.copy_(torch.where(group.active & ~finite, self._step + 1, group.diverged_at))
        self._optimizer.update(
            group.params, grads, group.optimizer_state, corrections, group.optimizer_hypers, still_active
        )
        self._follow(group, still_active)
        group.loss_sum.add_(torch.where(still_active, loss, 0.0))
        group.summed_steps.add_(still_active)
        group.active.copy_(still_active)
        if len(self._groups) == 1:
            # An operation of its own after the compiled ones takes 3 % of a small step.
            self._step.add_(1)

    def _follow(self, group: Group, active: Tensor) -> None:
        """Exponential averages of the parameters: Polyak's target network and CURL's momentum encoder."""
        followers = []
        if self.shape.polyak:
            followers.append((group.target_params, group.target_tau))
        if self.shape.curl:
            followers.append((group.slow_params, 1 - group.curl_momentum))
        for copies, share in followers:
            step = torch.where(active, share, 0.0)
            for name, copy in copies.items():
                along = step.view(-1, *(1,) * (copy.dim() - 1))
                copy.copy_(torch.lerp(copy, group.params[name], along))

    @torch.no_grad()
    def _refresh_targets(self) -> None:
        if self.shape.polyak:
            return
        due = np.flatnonzero(self.step % self._periods == 0)
        if len(due) == 0:
            return
        rows = torch.as_tensor(due, device=self.device)
        for name, target in self.target_params.items():
            target[rows] = self.params[name][rows]

    def _mitigate(self) -> None:
        for mitigation, places in self._mitigations.due(self.step):
            active = self._active.tolist()
            for place in places:
                # One that the next step will find to have diverged must still be found so.
                if active[place] and self._is_finite(place):
                    mitigation.treat(self._member_state(place))

    def _is_finite(self, place: int) -> bool:
        return all(bool(torch.isfinite(param[place]).all()) for param in self.params.values())

    def _member_state(self, place: int) -> MemberState:
        def own(stacked: Parameters) -> Parameters:
            return {name: tensor[place] for name, tensor in stacked.items()}

        def observations(draws: np.ndarray) -> Tensor:
            assert self._shares is not None
            # Of a recurrent member too, whose share is of whole episodes: as many transitions, not all of them its own.
            order, size = self._shares.orders[place], self._shares.sizes[place]
            chosen = torch.from_numpy(order[(draws * size).astype(np.int64)])
            return self.reader.batch_at(chosen, place, place + 1).s_tm1

        return MemberState(
            hypers=self.members[place],
            step=self.step,
            params=own(self.params),
            target_params=own(self.target_params),
            slow_params=own(self.slow_params),
            optimizer_state=own(self._optimizer_state),
            observations=observations,
        )

    def _initial_params(self, members: Sequence[MemberHypers]) -> Parameters:
        drawn = [self.agent.init(member.seed) for member in members]
        return {
            name: torch.from_numpy(np.stack([one[name] for one in drawn])).to(self.device)
            for name in drawn[0]
        }

    def _vector(self, values: list[Any], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)

    def _stack_hypers(self, members: Sequence[MemberHypers]) -> tuple[Hypers, OptimizerHypers]:
        def vectors(names: Iterable[str]) -> dict[str, Tensor]:
            return {name: self._vector([getattr(member, name) for member in members]) for name in names}

        return Hypers.stacked(members, self.device), OptimizerHypers(**vectors(OptimizerHypers.FIELDS))


class Members:
    """Some members of a pack, read only; M is their number."""

    def __init__(self, pack: Pack, first: int, last: int) -> None:
        rows = slice(first, last)
        self._pack = pack
        self.hypers = Hypers(*(vector[rows] for vector in pack._loss_hypers))
        self.params = {name: tensor[rows] for name, tensor in pack.params.items()}
        self.target_params = {name: tensor[rows] for name, tensor in pack.target_params.items()}
        self.slow_params = {name: tensor[rows] for name, tensor in pack.slow_params.items()}

    def apply(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs ``[M, B, O]`` and features ``[M, B, D]`` of float32 observations ``[M, B, *observation_shape]``."""
        outputs, phi = vmap(self._pack.agent.network.apply)(self.params, observations)
        return outputs, phi

    def apply_shared(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """The same for one set of observations ``[B, *observation_shape]`` that every member sees."""
        outputs, phi = vmap(self._pack.agent.network.apply, in_dims=(0, None))(self.params, observations)
        return outputs, phi

    def activations_shared(self, observations: Tensor) -> Parameters:
        """Every hidden layer's activations ``[M, B, ...]`` by name, of observations that every member sees."""
        found: Parameters = vmap(self._pack.agent.network.activations, in_dims=(0, None))(
            self.params, observations
        )
        return found

    def q_values(self, outputs: Tensor) -> Tensor:
        """Values ``[M, B, A]`` from outputs ``[M, B, O]``, NaN where the objective has none."""
        values: Tensor = vmap(self._pack.agent.objective.q_values)(outputs, self.hypers)
        return values

    def preferences(self, outputs: Tensor) -> Tensor:
        """Numbers ``[M, B, A]`` whose largest is the action to take, from outputs ``[M, B, O]``."""
        chosen: Tensor = vmap(self._pack.agent.objective.preferences)(outputs, self.hypers)
        return chosen

    def gradients(self, batch: Batch) -> tuple[Parameters, LossOutput]:
        """What training descends along on ``batch`` (leaves ``[M, B, ...]``), by parameter, and the report ``[M]``."""
        return self._gradients(batch, 0)

    def gradients_shared(self, batch: Batch) -> tuple[Parameters, LossOutput]:
        """The same for a batch of ``BatchReader.batch_at``, whose observations and actions every member sees."""
        axes = Batch(s_tm1=None, a_tm1=None, r_t=0, discount_t=0, s_t=None, columns=0)  # type: ignore[arg-type]
        return self._gradients(batch, axes)

    def _gradients(self, batch: Batch, batch_axes: Any) -> tuple[Parameters, LossOutput]:
        differentiate = vmap(self._pack.agent.gradient, in_dims=(0, 0, 0, batch_axes, 0, None))
        grads, (_, report) = differentiate(
            self.params, self.target_params, self.slow_params, batch, self.hypers, self._pack._step
        )
        return grads, report


def _padded(selection: np.ndarray | Windows, size: int) -> np.ndarray | Windows:
    """``selection`` ``[K, N, B]`` for ``size`` members, of which the last are copies."""
    if isinstance(selection, Windows):
        return selection.map(lambda part: np.asarray(_padded(part, size)))
    steps, members, batch = selection.shape
    if members == size:
        return selection
    return np.concatenate(
        [selection, np.broadcast_to(selection[:, -1:], (steps, size - members, batch))], axis=1
    )


def _checked_sampler(
    shape: LearnerShape, members: Sequence[MemberHypers], sampler: SequenceSampler | None
) -> SequenceSampler:
    if sampler is None:
        raise AgentError(
            f"objective {shape.objective} learns from sequences, and this pack was given no sampler of them: pass "
            "sequences=SequenceSampler.for_shape(shape, members, dataset)."
        )
    lengths = (sampler.length, sampler.burn_in, len(sampler.seeds))
    wanted = (shape.sequence_length, shape.burn_in, len(members))
    if lengths != wanted:
        raise AgentError(
            f"the sampler gives sequences of {lengths[0]} with burn-in {lengths[1]} to {lengths[2]} members; this "
            f"pack needs {wanted[0]}, {wanted[1]} and {wanted[2]}: use SequenceSampler.for_shape."
        )
    return sampler


def _check_columns(agent: Agent, columns: Columns) -> None:
    missing = [name for name in agent.objective.columns if name not in columns.by_name]
    if missing:
        raise AgentError(
            f"objective {agent.shape.objective} reads {', '.join(missing)} beside each transition, which this pack "
            "was not given: pass columns=build_columns(shape, members, dataset)."
        )
    if agent.shape.n_step > 1 and columns.frame_index is None:
        raise AgentError(
            f"n_step {agent.shape.n_step} needs the state n steps later beside each transition, which this pack was "
            "not given: pass columns=build_columns(shape, members, dataset)."
        )


def _one_by_one(differentiate: Any, size: int, args: tuple[Any, ...], step: Tensor) -> Any:
    """What ``vmap(differentiate)`` gives, computed member by member."""
    tree = torch.utils._pytree
    results = []
    for member in range(size):
        results.append(differentiate(*tree.tree_map(lambda leaf, m=member: leaf[m], args), step))
    return tree.tree_map(lambda *leaves: torch.stack(leaves), *results)
