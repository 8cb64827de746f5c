"""Scale symmetries of other people's models: flax, equinox, Keras and transformers, as they come."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import symmetries

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def needs(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


def pytree_loss(model: Any, x: Any) -> Any:
    return jnp.mean((model(x) - 1.0) ** 2)


def test_equinox_module_is_a_pytree():
    needs("equinox")
    import equinox as eqx  # pyright: ignore[reportMissingImports]

    model = eqx.nn.MLP(4, 1, 8, 2, key=jax.random.key(0))
    found = symmetries(lambda m, x: pytree_loss(jax.vmap(m), x), model, X)
    assert len(found.generators) == 2
    assert all(g.exact for g in found.generators)
    assert str(found.generators[0]) == "layers.0.weight ×k, layers.0.bias ×k, layers.1.weight ÷k"
    assert found.verify(0).passed


def test_nnx_module_with_batch_norm_is_not_changed():
    needs("flax")
    from flax import nnx  # pyright: ignore[reportMissingImports]

    class Model(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.first = nnx.Linear(4, 8, use_bias=False, rngs=rngs)
            self.norm = nnx.BatchNorm(8, rngs=rngs)
            self.second = nnx.Linear(8, 1, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.second(nnx.relu(self.norm(self.first(x))))

    model = Model(nnx.Rngs(0))
    before = np.asarray(model.norm.mean[...])
    found = symmetries(pytree_loss, model, X)
    assert {str(g) for g in found.generators} == {
        "first.kernel ×k",
        "norm.bias ×k, norm.scale ×k, second.kernel ÷k",
    }
    assert found.invariant == ("first.kernel",)
    assert [g.eps for g in found.guards] == [1e-5]
    tried = found.verify(0)
    assert not tried.wrong
    assert not tried.missed
    np.testing.assert_array_equal(np.asarray(model.norm.mean[...]), before)


def test_linen_variables_are_a_pytree():
    needs("flax")
    import flax.linen as nn  # pyright: ignore[reportMissingImports]

    layer = nn.MultiHeadDotProductAttention(num_heads=2, use_bias=False)
    variables = layer.init(jax.random.key(0), X[None])
    found = symmetries(lambda v, x: pytree_loss(lambda y: layer.apply(v, y), x), variables, X[None])
    assert {str(g) for g in found.generators} == {
        "params.key.kernel ×k, params.query.kernel ÷k",
        "params.out.kernel ×k, params.value.kernel ÷k",
    }
    assert found.verify(0).passed


def test_keras_model_on_jax():
    needs("keras")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.backend.backend() != "jax":
        pytest.skip(f"Keras runs on {keras.backend.backend()} in this process")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    found = symmetries(pytree_loss, model, X)
    assert len(found.generators) == 1
    assert set(found.generators[0].values()) == {1, -1}
    assert len(found.generators[0]) == 3
    assert found.verify(0).passed


def causal(model: Any, ids: Any) -> Any:
    return model(input_ids=ids, labels=ids).loss


def tiny(name: str) -> Any:
    import transformers  # pyright: ignore[reportMissingImports]

    sizes: dict[str, dict[str, Any]] = {
        "Llama": {"num_key_value_heads": 1, "intermediate_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2},
        "Qwen2": {"num_key_value_heads": 1, "intermediate_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2},
        "GPT2": {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16},
        "GPTNeoX": {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
        "OPT": {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 16, "word_embed_proj_dim": 8, "max_position_embeddings": 16},
        "Mistral": {"num_key_value_heads": 1, "intermediate_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2},
    }  # fmt: skip
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = getattr(transformers, f"{name}Config")(vocab_size=11, **sizes[name], **special)
    return getattr(transformers, f"{name}LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM")(config)


@pytest.mark.parametrize(
    ("name", "exact"),
    [("Llama", 11), ("Qwen2", None), ("GPT2", None), ("GPTNeoX", None), ("OPT", None), ("Mistral", 11)],
)
@pytest.mark.filterwarnings("ignore")
def test_a_published_model_as_it_comes(name, exact):
    needs("transformers")
    import torch

    torch.manual_seed(0)
    model = tiny(name).eval()
    found = symmetries(causal, model, torch.arange(12).reshape(2, 6) % 11)
    assert not found.unknown
    assert found.generators
    if exact is not None:
        assert len(found.exact) == exact
    assert not found.verify(0).wrong
