"""The pack: many agents of one shape, trained together on one device.

A single trial is a pack of one. Members share nothing but the arithmetic: each has its own parameters,
numbers, minibatches and random bits, and one that diverges is frozen while its neighbours go on.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from agents.compilation import CompiledUpdate
from agents.cuda_graphs import capture
from agents.data import Transitions
from agents.devices import Precision, autocast_dtype, resident
from agents.errors import AgentError
from agents.networks import Parameters, build_network
from agents.objectives import Batch, Hypers, LossOutput, get_loss
from agents.optimizers import OptimizerHypers, build_optimizer, init_state
from agents.randomness import generator, stream_key
from agents.spec import LearnerShape, MemberHypers, check_members
from agents.transitions import BatchReader

Strategy = Literal["fused", "looped"]


class Pack:
    """Stacked agents and their update.

    ``members`` train on ``data``; where ``pack_size`` exceeds their number the rest is padding that costs
    arithmetic but compiles to a shape that other packs share. ``strategy`` "fused" runs one vectorised
    computation for all members (``vmap``); "looped" runs the same function member by member, which can be
    faster where one member fills the device. Raises AgentError if the shape and the data do not fit.
    """

    def __init__(
        self,
        shape: LearnerShape,
        members: Sequence[MemberHypers],
        data: Transitions,
        *,
        pack_size: int | None = None,
        device: str | torch.device = "cpu",
        compile: bool = True,
        strategy: Strategy = "fused",
        precision: Precision = "float32",
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
        self.device = torch.device(device)
        self.strategy: Strategy = strategy
        self.network = build_network(shape)
        self.reader = BatchReader(resident(data, self.device), shape)
        self.step = 0
        self._loss = get_loss(shape)
        self._optimizer = build_optimizer(shape)
        self._autocast = autocast_dtype(precision)

        padded = [*members, *[members[-1]] * (size - len(members))]
        self.params = self._initial_params(padded)
        self.target_params = {name: p.clone() for name, p in self.params.items()}
        self._optimizer_state = init_state(self._optimizer, self.params)
        self._step = torch.zeros((), dtype=torch.int64, device=self.device)
        self._active = torch.arange(size, device=self.device) < len(members)
        self._diverged_at = torch.full((size,), -1, dtype=torch.int64, device=self.device)
        self._loss_sum = torch.zeros(size, dtype=torch.float64, device=self.device)
        self._summed_steps = torch.zeros(size, dtype=torch.float64, device=self.device)
        self._loss_hypers, self._optimizer_hypers = self._stack_hypers(padded)
        self._periods = np.array([member.target_update_period for member in padded])
        self._update: Callable[[Any], None] = self._update_members
        self._compiled = CompiledUpdate(self._update_members, self.device) if compile else None
        if self._compiled is not None:
            self._update = self._compiled
        if self.device.type == "cuda":
            self._update = capture(self._update, self._mutable_state())

    # Training -----------------------------------------------------------------------------------------------

    def update(self, indices: np.ndarray) -> None:
        """One gradient step for each row of ``indices``: transition numbers, int64 ``[K, N, B]``."""
        steps, members, batch = indices.shape
        if (members, batch) != (len(self.members), self.shape.batch_size):
            raise AgentError(
                f"indices have shape {indices.shape}; this pack needs "
                f"[steps, {len(self.members)}, {self.shape.batch_size}]."
            )
        if members < self.size:
            padding = np.broadcast_to(indices[:, -1:], (steps, self.size - members, batch))
            indices = np.concatenate([indices, padding], axis=1)
        chosen = self.reader.stage(indices)
        corrections = torch.from_numpy(
            self._optimizer.corrections(self._optimizer_hypers, self.step, steps)
        ).to(self.device)
        for row, selected in enumerate(self.reader.batches(chosen)):
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
        inputs = self.reader.as_input(torch.as_tensor(observations))
        return self.part(0, inputs.shape[0]).apply(inputs)[0]

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
            **{f"optimizer.{k}": v for k, v in self._optimizer_state.items()},
            "step": self._step,
            "active": self._active,
            "diverged_at": self._diverged_at,
            "loss_sum": self._loss_sum,
            "summed_steps": self._summed_steps,
        }

    # The update ---------------------------------------------------------------------------------------------

    def _member_loss(
        self, params: Parameters, target_params: Parameters, batch: Batch, hypers: Hypers, step: Tensor
    ) -> tuple[Tensor, LossOutput]:
        if self._autocast is None:
            return self._loss(self.network, params, target_params, batch, hypers, step)
        with torch.autocast(self.device.type, dtype=self._autocast):
            loss, report = self._loss(self.network, params, target_params, batch, hypers, step)
        return loss.float(), report

    def _update_members(self, inputs: tuple[Any, Tensor]) -> None:
        """One step of every member, in place. Everything it reads and writes is a tensor of fixed shape."""
        chosen, corrections = inputs
        batch = self.reader.read(chosen)
        differentiate = grad_and_value(self._member_loss, has_aux=True)
        args = (self.params, self.target_params, batch, self._loss_hypers)
        if self.strategy == "fused":
            grads, (loss, _) = vmap(differentiate, in_dims=(0, 0, 0, 0, None))(*args, self._step)
        else:
            grads, (loss, _) = _one_by_one(differentiate, self.size, args, self._step)
        finite = torch.isfinite(loss)
        still_active = self._active & finite
        self._diverged_at.copy_(torch.where(self._active & ~finite, self._step + 1, self._diverged_at))
        self._optimizer.update(
            self.params, grads, self._optimizer_state, corrections, self._optimizer_hypers, still_active
        )
        self._loss_sum.add_(torch.where(still_active, loss, 0.0))
        self._summed_steps.add_(still_active)
        self._active.copy_(still_active)
        self._step.add_(1)

    @torch.no_grad()
    def _refresh_targets(self) -> None:
        due = np.flatnonzero(self.step % self._periods == 0)
        if len(due) == 0:
            return
        rows = torch.as_tensor(due, device=self.device)
        for name, target in self.target_params.items():
            target[rows] = self.params[name][rows]

    def _initial_params(self, members: Sequence[MemberHypers]) -> Parameters:
        drawn = [self.network.init(generator(member.seed, "init")) for member in members]
        return {
            name: torch.from_numpy(np.stack([one[name] for one in drawn])).to(self.device)
            for name in drawn[0]
        }

    def _stack_hypers(self, members: Sequence[MemberHypers]) -> tuple[Hypers, OptimizerHypers]:
        def vector(values: list[Any], dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=self.device)

        keys = [stream_key(member.seed, "dropout") & 0xFFFFFFFF for member in members]
        fields = ("learning_rate", "optimizer_epsilon", "beta1", "beta2", "rmsprop_decay", "momentum")
        return (
            Hypers(
                discount=vector([member.discount for member in members]),
                dropout=vector([member.dropout for member in members]),
                dropout_key=vector(keys, torch.int64),
            ),
            OptimizerHypers(**{name: vector([getattr(m, name) for m in members]) for name in fields}),
        )


class Members:
    """Some members of a pack, read only; M is their number."""

    def __init__(self, pack: Pack, first: int, last: int) -> None:
        rows = slice(first, last)
        self._pack = pack
        self._hypers = Hypers(*(vector[rows] for vector in pack._loss_hypers))
        self.params = {name: tensor[rows] for name, tensor in pack.params.items()}
        self.target_params = {name: tensor[rows] for name, tensor in pack.target_params.items()}

    def apply(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Q-values ``[M, B, A]`` and features ``[M, B, D]`` of float32 observations ``[M, B, *observation_shape]``."""
        q, phi = vmap(self._pack.network.apply)(self.params, observations)
        return q, phi

    def apply_shared(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """The same for one set of observations ``[B, *observation_shape]`` that every member sees."""
        q, phi = vmap(self._pack.network.apply, in_dims=(0, None))(self.params, observations)
        return q, phi

    def gradients(self, batch: Batch) -> tuple[Parameters, LossOutput]:
        """Gradients of the training loss on ``batch`` (leaves ``[M, B, ...]``), and the loss's report ``[M]``."""
        return self._gradients(batch, batch_axis=0)

    def gradients_shared(self, batch: Batch) -> tuple[Parameters, LossOutput]:
        """The same for one batch (leaves ``[B, ...]``) that every member sees."""
        return self._gradients(batch, batch_axis=None)

    def _gradients(self, batch: Batch, batch_axis: int | None) -> tuple[Parameters, LossOutput]:
        differentiate = vmap(
            grad_and_value(self._pack._member_loss, has_aux=True), in_dims=(0, 0, batch_axis, 0, None)
        )
        grads, (_, report) = differentiate(
            self.params, self.target_params, batch, self._hypers, self._pack._step
        )
        return grads, report


def _one_by_one(differentiate: Any, size: int, args: tuple[Any, ...], step: Tensor) -> Any:
    """What ``vmap(differentiate)`` gives, computed member by member."""
    tree = torch.utils._pytree
    results = []
    for member in range(size):
        results.append(differentiate(*tree.tree_map(lambda leaf, m=member: leaf[m], args), step))
    return tree.tree_map(lambda *leaves: torch.stack(leaves), *results)
