"""The same small networks in torch and in JAX: a loss, parameters by the same names, and data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

TOKENS, WIDTH, HEADS, LENGTH, BATCH = 11, 8, 2, 6, 3

Network = tuple[tuple[Any, ...], tuple[Any, ...]]


def both(
    module: nn.Module, torch_loss: Callable[..., Any], jax_loss: Callable[..., Any], *data: torch.Tensor
) -> Network:
    """Arguments of ``symmetries`` for torch, and for JAX with the same numbers."""
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in module.named_parameters()}
    return (torch_loss, module, *data), (jax_loss, params, *(jnp.asarray(x.numpy()) for x in data))


def _linear(p: Any, name: str, x: Any) -> Any:
    y = x @ p[f"{name}.weight"].T
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1))


def perceptron() -> Network:
    """Two hidden layers of ReLU."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))

    def loss(p: Any, x: Any, y: Any) -> Any:
        for name in ("0", "2"):
            x = jax.nn.relu(_linear(p, name, x))
        return _cross_entropy(_linear(p, "4", x), y)

    return both(module, lambda m, x, y: F.cross_entropy(m(x), y), loss, torch.randn(16, 5), torch.arange(16) % 3)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Any) -> Any:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def residual_convolutions() -> Network:
    """A residual network with batch norm and pooling."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), Residual(4), nn.MaxPool2d(2), Residual(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip

    def conv(p: Any, name: str, x: Any, padding: str) -> Any:
        return jax.lax.conv_general_dilated(x, p[f"{name}.weight"], (1, 1), padding)

    def norm(p: Any, name: str, x: Any) -> Any:
        x = (x - jnp.mean(x, (0, 2, 3), keepdims=True)) / jnp.sqrt(jnp.var(x, (0, 2, 3), keepdims=True) + 1e-5)
        return x * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]

    def block(p: Any, at: int, x: Any) -> Any:
        y = jax.nn.relu(norm(p, f"{at}.norm1", conv(p, f"{at}.conv1", x, "SAME")))
        return jax.nn.relu(x + norm(p, f"{at}.norm2", conv(p, f"{at}.conv2", y, "SAME")))

    def loss(p: Any, x: Any, y: Any) -> Any:
        x = block(p, 3, jax.nn.relu(norm(p, "1", conv(p, "0", x, "VALID"))))
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        return _cross_entropy(_linear(p, "8", jnp.mean(block(p, 5, x), (2, 3))), y)

    data = torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    return both(module, lambda m, x, y: F.cross_entropy(m(x), y), loss, *data)


class Adapted(nn.Module):
    """A linear layer with a low-rank addition."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.weight = base.weight
        self.down = nn.Parameter(torch.randn(2, base.in_features))
        self.up = nn.Parameter(torch.randn(base.out_features, 2))

    def forward(self, x: Any) -> Any:
        return F.linear(x, self.weight) + 2.0 * F.linear(F.linear(x, self.down), self.up)


class Block(nn.Module):
    def __init__(self, norm: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(), norm()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.up, self.gate = (nn.Linear(WIDTH, 2 * WIDTH, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Any) -> Any:
        h = self.norm1(x)
        q, k, v = (f(h).view(*h.shape[:2], HEADS, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(_turned(q), _turned(k), v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(x.shape))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def _turned(x: Any) -> Any:
    angle = torch.arange(x.shape[-2])[:, None] * 0.1 ** torch.arange(x.shape[-1] // 2)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


class Transformer(nn.Module):
    """Two layers with rotary positions, gating and tied or untied ends."""

    def __init__(self, norm: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.ModuleList([Block(norm) for _ in range(2)])
        self.norm = norm()
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def transformer(kind: str = "layer", eps: float = 1e-5, adapted: bool = False) -> Network:
    """With LayerNorm or RMSNorm, and LoRA on the queries."""
    torch.manual_seed(0)
    make = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}[kind]
    module = Transformer(lambda: make(WIDTH, eps=eps))
    if adapted:
        for block in module.blocks:
            block.q = Adapted(block.q)  # type: ignore[assignment]

    def norm(p: Any, name: str, x: Any) -> Any:
        if kind == "layer":
            x = x - jnp.mean(x, -1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + eps) * p[f"{name}.weight"]
        return x + p[f"{name}.bias"] if kind == "layer" else x

    def turned(x: Any) -> Any:
        angle = jnp.arange(x.shape[-2])[:, None] * 0.1 ** jnp.arange(x.shape[-1] // 2)
        a, b = jnp.split(x, 2, -1)
        return jnp.concatenate([a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)], -1)

    def loss(p: Any, tokens: Any) -> Any:
        x = p["embed.weight"][tokens[:, :-1]]
        for at in ("blocks.0", "blocks.1"):
            h = norm(p, f"{at}.norm1", x)
            q, k, v = (_linear(p, f"{at}.{f}", h) for f in "qkv")
            if adapted:
                q = q + 2.0 * (h @ p[f"{at}.q.down"].T) @ p[f"{at}.q.up"].T
            q, k, v = (jnp.moveaxis(f.reshape(*f.shape[:2], HEADS, -1), 1, 2) for f in (q, k, v))
            scores = jnp.einsum("bhtd,bhsd->bhts", turned(q), turned(k)) / math.sqrt(WIDTH / HEADS)
            causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
            mixed = jax.nn.softmax(jnp.where(causal, scores, jnp.finfo(scores.dtype).min)) @ v
            x = x + _linear(p, f"{at}.o", jnp.moveaxis(mixed, 1, 2).reshape(x.shape))
            h = norm(p, f"{at}.norm2", x)
            x = x + _linear(p, f"{at}.down", jax.nn.silu(_linear(p, f"{at}.gate", h)) * _linear(p, f"{at}.up", h))
        return _cross_entropy(_linear(p, "head", norm(p, "norm", x)), tokens[:, 1:])

    def torch_loss(m: nn.Module, tokens: Any) -> Any:
        return F.cross_entropy(m(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, TOKENS, (BATCH, LENGTH)))
    return both(module, torch_loss, loss, tokens)


NETWORKS: dict[str, Callable[[], Network]] = {
    "perceptron": perceptron,
    "residual convolutions with batch norm": residual_convolutions,
    "transformer with LayerNorm": transformer,
    "transformer with RMSNorm": lambda: transformer("rms"),
    "transformer with LayerNorm of eps 0": lambda: transformer("layer", 0.0),
    "transformer with RMSNorm and LoRA": lambda: transformer("rms", adapted=True),
}
