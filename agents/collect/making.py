"""From a spec to a dataset: what is checked first, who acts, and what is recorded."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from agents.collect.actors import Actor, RandomActor
from agents.collect.blocks import BlockStore
from agents.collect.frozen import FrozenActor, FrozenPolicy
from agents.collect.loop import Run
from agents.collect.spec import CollectSpec, Progress
from agents.data.dataset import Dataset
from agents.data.provenance import provenance
from agents.data.writer import DatasetWriter
from agents.environments import EnvironmentSpec, describe, make
from agents.environments.protocol import ArrayFormat
from agents.errors import AgentError
from agents.spec import LearnerShape, MemberHypers


def collect(
    spec: CollectSpec,
    out_dir: Path | str,
    progress: Progress | None = None,
    *,
    policy: FrozenPolicy | None = None,
    num_threads: int = 1,
) -> Dataset:
    """Make the dataset ``out_dir`` (``ROOT/datasets/<name>``); it appears when it is whole.

    ``policy`` is what agent ``policy`` plays. ``progress(done, total, info)`` is called about twice a second
    and at the end, with agent steps and, in ``info``, rates, the mean return of recent episodes and the
    seconds spent on each part. ``num_threads`` is for the emulator, which gives the same frames with any;
    PyTorch runs on one thread meanwhile, because sums spread over more round differently and the fingerprint
    would depend on their number. Raises DatasetError and AgentError with the remedy where the name, the
    environment, the network or the policy does not fit, or the disk is full.
    """
    environment = describe(spec.env)
    _check_agent(spec, environment, policy)
    learns = spec.agent == "dqn"
    columns = {"checkpoint": ArrayFormat(dtype="int32")} if learns else {}
    with DatasetWriter(out_dir, environment, spec.steps, columns=columns) as writer, _one_thread(spec):
        vector = make(spec.env, min(spec.num_envs, spec.steps), num_threads=num_threads)
        try:
            with BlockStore(writer, vector, spec.steps, spec.checkpoints if learns else None) as store:
                actor = _build_actor(spec, writer, vector.num_envs, policy)
                run = Run(spec, store, vector, actor, progress)
                run.play()
        finally:
            vector.close()
        record: dict[str, Any] = {
            **provenance(),
            "recipe": spec.model_dump(mode="json"),
            "seconds": round(run.elapsed, 3),
            "collection": run.info(spec.steps),
        }
        if policy is not None:
            record["policy"] = {**policy.about, "weights_sha256": policy.weights_sha256}
        return writer.finish(len(store.finished_returns), run.mean_return(), record)


def _build_actor(spec: CollectSpec, writer: DatasetWriter, slots: int, policy: FrozenPolicy | None) -> Actor:
    environment = writer.environment
    if spec.agent == "random":
        return RandomActor(spec.seed, slots, environment)
    if policy is not None:
        return FrozenActor(policy, environment, spec.seed, slots, spec.epsilon)
    # Loads torch, which the random agent does without.
    from agents.collect.online import OnlineDQN

    shape = LearnerShape(
        objective="dqn",
        network=spec.network,
        hidden_sizes=spec.hidden_sizes,
        batch_size=spec.batch_size,
        reward_clip=spec.reward_clip,
        observation_shape=environment.observation_shape,
        observation_dtype=environment.observation_dtype,
        num_actions=environment.num_actions,
    )
    hypers = MemberHypers(
        seed=spec.seed,
        learning_rate=spec.learning_rate,
        discount=spec.discount,
        target_update_period=spec.target_update_period,
    )
    return OnlineDQN(
        shape,
        hypers,
        writer,
        slots,
        epsilon=spec.epsilon_at,
        updates_per_step=spec.updates_per_step,
        learning_starts=spec.learning_starts,
    )


def _one_thread(spec: CollectSpec) -> AbstractContextManager[None]:
    if spec.agent == "random":
        return nullcontext()
    from agents.collect.online import one_torch_thread

    return one_torch_thread()


def _check_agent(spec: CollectSpec, environment: EnvironmentSpec, policy: FrozenPolicy | None) -> None:
    if (spec.agent == "policy") != (policy is not None):
        raise AgentError(
            f"agent {spec.agent!r} and policy={policy and spec.agent}: agent 'policy' plays the FrozenPolicy given "
            "as policy, and no other agent takes one."
        )
    if spec.agent != "random" and environment.continuous:
        raise AgentError(
            f"agent {spec.agent!r} chooses among a number of actions, and {spec.env} takes vectors of shape "
            f"{environment.action_shape} in [{environment.action_low}, {environment.action_high}]. Use agent: "
            "random for it, or import a dataset (`sweep data import`)."
        )
    if policy is not None:
        policy.check(environment)
    if spec.agent == "dqn" and spec.network != "mlp" and len(environment.observation_shape) != 3:
        raise AgentError(
            f"network {spec.network} reads images, and {spec.env} shows vectors of shape "
            f"{environment.observation_shape}. Use network: mlp for it, or an atari/… environment."
        )
