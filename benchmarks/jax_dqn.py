"""A second peer of `pack_throughput`, where JAX is installed: jit + vmap + lax.scan over the same work."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np

from agents.data import Transitions


class JaxDQN:
    """`members` MLP agents trained by one scanned, vmapped, jitted update; Adam written out, Huber loss."""

    def __init__(
        self, data: Transitions, members: int, batch_size: int, sizes: tuple[int, ...], chunk: int
    ) -> None:
        import jax
        import jax.numpy as jnp

        self.jax = jax
        self.chunk = chunk
        arrays = {
            name: jnp.asarray(getattr(data, name).numpy())
            for name in ("frames", "frame_index", "action", "reward", "discount")
        }

        def init(key: Any) -> list[tuple[Any, Any]]:
            layers = []
            for fan_in, out in itertools.pairwise(sizes):
                key, one, two = jax.random.split(key, 3)
                bound = fan_in**-0.5
                layers.append(
                    (
                        jax.random.uniform(one, (fan_in, out), minval=-bound, maxval=bound),
                        jax.random.uniform(two, (out,), minval=-bound, maxval=bound),
                    )
                )
            return layers

        def network(params: Any, x: Any) -> Any:
            for weight, bias in params[:-1]:
                x = jax.nn.relu(x @ weight + bias)
            return x @ params[-1][0] + params[-1][1]

        def loss(params: Any, target: Any, chosen: Any) -> Any:
            frames = arrays["frames"][arrays["frame_index"][chosen]]
            q = network(params, frames[:, 0])
            qa = jnp.take_along_axis(q, arrays["action"][chosen][:, None], 1)[:, 0]
            bootstrap = network(target, frames[:, 1]).max(1)
            goal = arrays["reward"][chosen] + 0.99 * arrays["discount"][chosen] * bootstrap
            td = jax.lax.stop_gradient(goal) - qa
            size = jnp.abs(td)
            return jnp.where(size <= 1, 0.5 * td * td, size - 0.5).mean()

        def update(state: Any, chosen: Any) -> Any:
            params, target, m, v, t = state
            value, grads = jax.value_and_grad(loss)(params, target, chosen)
            t = t + 1
            tree = jax.tree_util.tree_map
            m = tree(lambda a, g: 0.9 * a + 0.1 * g, m, grads)
            v = tree(lambda a, g: 0.999 * a + 0.001 * g * g, v, grads)
            scale = 1e-3 / (1 - 0.9**t)
            root = jax.lax.rsqrt(1 - 0.999**t)
            params = tree(lambda p, a, b: p - scale * a / (jnp.sqrt(b) * root + 1e-8), params, m, v)
            target = tree(lambda p, q: jnp.where(t % 2500 == 0, p, q), params, target)
            return (params, target, m, v, t), value

        @partial(jax.jit, donate_argnums=0)
        def many(states: Any, indices: Any) -> Any:
            return jax.lax.scan(lambda s, i: jax.vmap(update)(s, i), states, indices)

        params = jax.vmap(init)(jax.random.split(jax.random.PRNGKey(0), members))
        zeros = partial(jax.tree_util.tree_map, jnp.zeros_like)
        copy = jax.tree_util.tree_map(jnp.copy, params)
        self.states = (params, copy, zeros(params), zeros(params), jnp.zeros(members))
        self.many = many
        generator = np.random.default_rng(0)
        self.indices = lambda: generator.integers(
            len(data), size=(chunk, members, batch_size), dtype=np.int32
        )

    def train(self, steps: int) -> None:
        for _ in range(steps // self.chunk):
            self.states, losses = self.many(self.states, self.indices())
        self.jax.block_until_ready(losses)
