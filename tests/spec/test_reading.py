"""SPECs against the frameworks themselves: signatures, defaults, and the same first steps."""

from __future__ import annotations

import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from lrtheory import rules
from lrtheory.explaining import explain
from lrtheory.names import optax as optax_names
from lrtheory.names import torch as torch_names
from lrtheory.spec import NoRuleError, SpecError, Unread, parse, read, written
from parity.drivers.in_torch import default_dtype

RNG = np.random.default_rng(0)
GRADS = RNG.normal(size=(4, 3, 2)) * 10.0 ** RNG.uniform(-1, 1, (4, 1, 1))
START = RNG.normal(size=(3, 2))


def ours(text: str) -> np.ndarray:
    """Parameters after each step by the rule and the numbers that were read."""
    reading = read(text)
    with jax.enable_x64(True):
        params = {"w": jnp.asarray(START)}
        state, path = reading.rule.init(params), []
        for g in GRADS:
            params, state = reading.rule.step(reading.hyper, params, state, {"w": jnp.asarray(g)})
            path.append(np.asarray(params["w"]))
    return np.stack(path)


def by_torch(code: str) -> np.ndarray:
    """The same by torch, from code as it would be pasted."""
    w = torch.nn.Parameter(torch.tensor(START))
    path = []
    with default_dtype("float64"):  # of the counts and products that NAdam and ASGD keep in tensors
        optimizer = eval(code, {"torch": torch, "params": [w]})
        for g in GRADS:
            w.grad = torch.tensor(g)
            optimizer.step()
            path.append(w.detach().numpy().copy())
    return np.stack(path)


def by_optax(code: str) -> np.ndarray:
    """The same by optax."""
    transformation = eval(code, {"optax": optax})
    with jax.enable_x64(True):
        params = {"w": jnp.asarray(START)}
        state, path = transformation.init(params), []
        for g in GRADS:
            updates, state = transformation.update({"w": jnp.asarray(g)}, state, params)
            params = optax.apply_updates(params, updates)
            path.append(np.asarray(params["w"]))
    return np.stack(path)


@pytest.mark.parametrize("name", torch_names.CLASSES)
def test_torch_signatures_are_as_written_down(name: str) -> None:
    parameters = list(inspect.signature(getattr(torch.optim, name)).parameters.values())[1:]
    positional = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    assert positional == torch_names.POSITIONAL[name]
    reading = read(f"torch.optim.{name}")
    rule_name, _ = torch_names.CLASSES[name]
    found = torch_names.NAMES[rule_name].arguments({}, reading.hyper)
    defaults = {p.name: p.default for p in parameters}
    for argument, value in found.items():
        assert value == pytest.approx(defaults[argument]), argument


def test_every_optimizer_of_torch_is_named_or_no_rule() -> None:
    known = {n for n, c in vars(torch.optim).items() if isinstance(c, type) and issubclass(c, torch.optim.Optimizer)}
    assert known - set(torch_names.CLASSES) == {"Optimizer", "LBFGS"}


TORCH = [
    "torch.optim.SGD(params, 0.1, 0.9, 0.5)",
    "torch.optim.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)",
    "torch.optim.Adam(params, 0.01, (0.8, 0.95), 1e-3, 0.1, True)",
    "torch.optim.Adam(lr=0.01, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)",
    "torch.optim.AdamW(lr=0.01, betas=(0.5, 0.9))",
    "torch.optim.RMSprop(lr=0.01, alpha=0.9, centered=True, momentum=0.5, foreach=False)",
    "torch.optim.NAdam(lr=0.01, decoupled_weight_decay=True, weight_decay=0.1)",
    "torch.optim.Adagrad(lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5)",
    "torch.optim.Rprop(lr=0.1, etas=(0.3, 1.5), step_sizes=(1e-3, 0.2))",
    "torch.optim.ASGD(lr=0.1, lambd=0.1, t0=2.0)",
    "torch.optim.Adafactor(lr=0.1, eps=(1e-3, 0.1), d=2.0)",
    "torch.optim.Adadelta(lr=0.5, rho=0.8)",
    "torch.optim.Adamax(lr=0.1)",
]
OPTAX = [
    "optax.sgd(0.1, momentum=0.9, nesterov=True)",
    "optax.sgd(0.1, nesterov=True)",  # C8: nesterov acts with momentum alone
    "optax.adam(0.01, b1=0.8, eps=1e-3)",
    "optax.adamw(0.01, weight_decay=0.1)",
    "optax.adamax(0.1)",
    "optax.rmsprop(0.01, eps_in_sqrt=False, centered=True)",
    "optax.adadelta(0.5)",
    "optax.adabelief(0.1, nesterov=True)",
    "optax.lion(0.01)",
    "optax.sign_sgd(0.01)",
    "optax.lamb(0.01, weight_decay=0.1)",
    "optax.lars(0.5, weight_decay=0.1)",
    "optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2))",
    "optax.chain(optax.clip(0.5), optax.add_decayed_weights(0.1), optax.sgd(0.1, 0.9))",
]


@pytest.mark.parametrize("text", TORCH)
def test_torch_spec_is_the_rule_that_torch_runs(text: str) -> None:
    code = read(text).write(read(text).hyper, 1, 1)
    expected = by_torch(code)
    np.testing.assert_allclose(ours(text), expected, rtol=0, atol=1e-12)
    assert np.ptp(expected) > 0
    assert read(code).hyper == read(text).hyper


@pytest.mark.parametrize("text", OPTAX)
def test_optax_spec_is_the_rule_that_optax_runs(text: str) -> None:
    code = read(text).write(read(text).hyper, 1, 1)
    np.testing.assert_allclose(ours(text), by_optax(text), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(by_optax(code), by_optax(text))


def test_every_optax_name_is_run_above() -> None:
    assert {text.partition("(")[0].removeprefix("optax.") for text in OPTAX} - {"chain"} == set(optax_names.NAMES)


def test_new_numbers_are_written_where_they_belong() -> None:
    reading = read("torch.optim.Adam(model.parameters(), 3e-4, fused=True)")
    code = reading.write(reading.hyper._replace(beta2=0.9, eps=1e-4), 1, 1)
    assert code == "torch.optim.Adam(model.parameters(), lr=0.0003, betas=(0.9, 0.9), eps=0.0001, fused=True)"
    reading = read(
        "optax.MultiSteps(optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 1000)), every_k_schedule=2)"
    )
    code = reading.write(reading.hyper._replace(lr=2e-3), 2, 4)
    assert code == (
        "optax.MultiSteps(opt=optax.adamw(learning_rate=optax.warmup_cosine_decay_schedule(init_value=0.0, peak_value=0.002, "
        "warmup_steps=25, decay_steps=250)), every_k_schedule=2)"
    )
    reading = read("clip_by_global_norm(adamw(lr=1e-3, betas=(0.8, 0.9)), max_norm=1.0, homogeneous=True)")
    assert reading.write(reading.hyper._replace(max_norm=2.0), 1, 1) == (
        "rule = lrtheory.wrappers.clip_by_global_norm(lrtheory.rules.adamw(), homogeneous=True)\n"
        "hyper = rule.hyper(lr=0.001, beta1=0.8, beta2=0.9, max_norm=2.0)"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optax.rmsprop(1e-3)", "eps_in_sqrt=False"),
        ("optax.adagrad(1e-3)", "none of our rules"),
        ("optax.chain(optax.scale_by_adam(), optax.scale(1e-3))", "moves up the gradient"),
        ("optax.chain(optax.scale_by_novograd(), optax.scale(-1e-3))", "scale_by_novograd"),
        ("optax.chain(optax.add_decayed_weights(0.1), optax.clip(1.0), optax.sgd(0.1))", "optax.clip"),
        ("optax.chain(optax.add_decayed_weights(0.1), optax.adamw(0.1))", "added before"),
        ("torch.optim.LBFGS", "no rule of one step"),
        ("module:callable", "none of the rules"),
    ],
)
def test_what_is_no_rule_says_why(text: str, words: str) -> None:
    with pytest.raises(NoRuleError) as error:
        read(text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("torch.optim.Adam(betas=0.9)", "must be a tuple"),
        ("torch.optim.Adam(betas=(0.9, 0.95, 0.99))", "a tuple of 2 numbers"),
        (
            "torch.optim.Rprop(etas=(0.5, 1.2), step_sizes=(1e-6, 1, 50))",
            "step_sizes=(1e-06, 1, 50) must be a tuple of 2",
        ),
        ("torch.optim.Adafactor(eps=(None, 1e-3, 0.1))", "a tuple of 2 numbers"),
        ("torch.optim.Muon(ns_coefficients=(3.4, -4.7))", "a tuple of 3 numbers"),
        ("torch.optim.SGD(lr=None)", "lr=None is not a real number"),
        ("torch.optim.AdamW(weight_decay=None)", "weight_decay=None is not a real number"),
        ("torch.optim.Adam(lr=-1)", "lr=-1.0 is outside"),
        ("torch.optim.Adam(lr=rate)", "names are not evaluated"),
        ("torch.optim.Adam(lr=1e-3, moment=0.9)", "no argument 'moment'"),
        ("torch.optim.SGD(params, 0.1, lr=0.2)", "given twice"),
        ("torch.optim.Adam(params, 1, (0.9, 0.9), 1, 1, True, 7)", "by position"),
        ("optax.adam(1e-3, beta1=0.9)", "no argument 'beta1'"),
        ("optax.MultiSteps(optax.adam(1e-3), every_k_schedule=0)", "no step is ever taken"),
        ("optax.chain((optax.clip(1.0), optax.adam(1e-3)))", "optax refuses it: 'tuple' object"),
        ("optax.named_chain((optax.clip(1.0), optax.adam(1e-3)))", "optax.named_chain takes"),
        ("optax.inject_hyperparams(optax.adam(1e-3))", "write optax.inject_hyperparams(optax.adam)(...)"),
        ("adam(lr=1e-3, beta1=0.9, betas=(0.8, 0.9))", "beta1 is given twice"),
        ("adam(1e-3)", "by name"),
        ("adam(lr=1e-3, momentum=0.9)", "no hyperparameter 'momentum'"),
        ("clip_by_value(clip_value=1.0)", "given a rule first"),
        ("adm(lr=1e-3)", "no rule named 'adm'"),
        ("adam(lr=open('f'))", "not evaluated"),
        ("adam(lr=1e-3", "cannot read"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_spec(text: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        read(text)
    assert not isinstance(error.value, NoRuleError)
    assert words in str(error.value), error.value


def test_numbers_are_written_to_the_last_bit() -> None:
    for value in [*(10.0 ** RNG.uniform(-12, 8, 200)), 0.0, 1.0, 128.0, 2.0**-30, 1e22]:
        assert float(written(float(value))) == value
    assert [written(v) for v in (1.0, 1e-3, True, None, (1e-8,))] == ["1.0", "0.001", "True", "None", "(1e-08,)"]


def test_calls_inside_are_parsed_and_what_is_not_read_stands_for_itself() -> None:
    spec = parse("optax.chain(optax.clip(2 * 0.5), optax.sgd(lr), optax.masked(optax.sgd(1 / 4), lambda p: p))")
    assert [part.name for part in spec.args] == ["optax.clip", "optax.sgd", "optax.masked"]
    assert spec.args[0].args == (1.0,)
    assert spec.args[1].args[0].name == "lr"
    assert spec.args[2].args[1] == Unread("lambda p: p")


def test_all_rules_of_ours_are_read() -> None:
    for name in rules.names():
        assert read(f"{name}()").rule is rules.get(name)()


def test_reading_torch_does_not_import_it() -> None:
    import subprocess

    code = "import sys; from lrtheory.explaining import read; read('torch.optim.Adam(lr=1e-3)'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize(
    "groups",
    [
        "[{'params': a}, {'params': b, 'lr': 0.1}]",
        "[dict(params=a), dict(params=b, lr=0.1)]",
        "({'params': a}, {'params': b, 'weight_decay': 0.0})",
        "[{'params': p, 'lr': 0.1 * s} for p, s in groups]",
        "[dict(params=p, lr=0.1) for p in layers]",
        "[{'params': a}, *[{'params': p, 'lr': r} for p, r in rest]]",
        "[dict(params=a) | {'lr': 0.1}]",
        "[{'params': a} | settings]",
        "[dict([('params', a), ('lr', 0.1)])]",
        "[builtins.dict(params=a, lr=0.1)]",
    ],
)
def test_settings_of_groups_are_not_dropped(groups):
    for text in (f"torch.optim.AdamW({groups}, lr=1e-3)", f"torch.optim.AdamW(params={groups}, lr=1e-3)"):
        with pytest.raises(SpecError, match="groups of parameters are not read; write one SPEC for each"):
            read(text)


@pytest.mark.parametrize(
    "params", ["[{'params': a}]", "[dict(params=a)]", "[p for p in ps]", "groups", "list(m.parameters())"]
)
def test_parameters_without_settings_of_their_own_are_read(params):
    assert read(f"torch.optim.AdamW({params}, lr=0.5)").hyper.lr == 0.5


@pytest.mark.parametrize(
    ("text", "left", "said"),
    [
        ("optax.masked(optax.sgd(0.1), mask_fn)", "mask_fn", "True or False for each parameter by name"),
        (
            "optax.partition({'a': optax.sgd(0.1), 'b': optax.adam(0.1)}, fn)",
            "fn",
            "the label of each parameter by name",
        ),
        (
            f"{'torch.optim.lr_scheduler.'}LambdaLR(torch.optim.SGD(lr=0.1), lr_lambda=warm)",
            "warm",
            "a function of the step",
        ),
        ("optax.lookahead(optax.sgd(0.1), sync_period=every, slow_step_size=0.5)", "every", "a number"),
    ],
)
def test_what_to_write_for_what_is_not_evaluated_is_read(text, left, said):
    with pytest.raises(SpecError, match=f"{left} is not evaluated: write {said}") as refused:
        explain(text)
    example = str(refused.value).partition("as in ")[2] or "5"
    assert explain(text.replace(left, example)).numbers


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("optim.AdamW(lr=0.1)", "torch.optim.AdamW"),
        ("tf.keras.optimizers.Adam(0.1)", "keras.optimizers.Adam"),
        ("keras.optimizers.legacy.Adam(0.1)", "keras.optimizers.Adam"),
        ("lr_scheduler.StepLR(optimizer, 9)", "torch.optim.lr_scheduler.StepLR"),
    ],
)
def test_a_brief_name_is_told_in_full(text, instead):
    with pytest.raises(SpecError, match=rf"write {instead}\b"):
        explain(text)
    read_name = f"{instead}({text.partition('(')[2]}"
    parse(read_name)
    assert explain(read_name).spec == read_name


@pytest.mark.parametrize(
    "text", ["keras.optimizers.Adam(learning_rate=name)", "optax.adam(1e-3, b2=name)", "torch.optim.SGD(lr=name)"]
)
def test_an_argument_that_is_a_name_is_told_as_it_was_given(text):
    with pytest.raises(SpecError, match=text.partition("(")[2].partition(", ")[2][:-1] or text.partition("(")[2][:-1]):
        read(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("torch.optim.Adam(betas=(0.9, 1.5))", r"betas\[1\]=1.5 is outside"),
        ("optax.adam(1e-3, b2=1.5)", "b2=1.5 is outside"),
        ("optax.chain(optax.scale_by_rms(decay=-1.0, eps_in_sqrt=False), optax.scale(-0.1))", "decay=-1.0 is outside"),
        ("keras.optimizers.Lion(1e-3, beta_1=-0.5)", "beta_1=-0.5 is outside"),
        ("adam(beta2=1.5)", "beta2=1.5 is outside"),
    ],
)
def test_a_value_out_of_range_is_told_in_the_words_it_was_given_in(text, said):
    with pytest.raises(SpecError, match=said):
        read(text)


def test_all_that_makes_another_rule_is_told_at_once():
    with pytest.raises(NoRuleError, match="only with eps_in_sqrt=False and nesterov=False are they the same"):
        read("optax.rmsprop(1e-3, nesterov=True)")
    with pytest.raises(NoRuleError, match=r"relative_step=False and epsilon_1=0.0 are read"):
        read("keras.optimizers.Adafactor(1e-3)")


@pytest.mark.parametrize(
    "text",
    ["optax.adadelta(0.5, weight_decay=0.1)", "optax.chain(optax.add_decayed_weights(0.1), optax.adadelta(0.5))"],
)
def test_decay_of_adadelta_is_read_where_it_stands(text):
    assert read(text).hyper.weight_decay == 0.1
    np.testing.assert_allclose(ours(text), by_optax(text), rtol=1e-9)
    with pytest.raises(NoRuleError, match="give one of both"):
        read("optax.chain(optax.add_decayed_weights(0.1), optax.adadelta(0.5, weight_decay=0.2))")


@pytest.mark.parametrize(
    "text",
    [
        "adan(proximal=False)",
        "muon(nesterov=False)",
        "signum(averaged=False)",
        "rmsprop(momentum_buffer=False)",
        "adafactor(machine_eps=False)",
        "adam()",
        "adam(decoupled=True)",
    ],
)
def test_a_rule_is_told_with_the_options_that_make_it(text):
    rule = read(text).rule
    assert read(repr(rule)).rule is rule
