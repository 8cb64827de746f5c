"""A live torch optimizer in our terms: its next step, its numbers, its names, and what is refused."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from lrtheory.adopting import AdoptError, Kept, group_rule, kept_state
from lrtheory.rules import SparseGradient

torch = pytest.importorskip("torch")
from lrtheory.adopting.in_torch import adopt_torch  # noqa: E402

#: Class and options, each under some settings that act.
OPTIMIZERS = {
    "sgd": ("SGD", {}),
    "sgd-momentum": ("SGD", {"momentum": 0.9}),
    "sgd-dampened": ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "foreach": True}),
    "sgd-nesterov": ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
    "sgd-fused": ("SGD", {"momentum": 0.9, "fused": True}),
    "adam": ("Adam", {"weight_decay": 0.1}),
    "adam-amsgrad": ("Adam", {"amsgrad": True, "maximize": True, "foreach": True}),
    "adam-decoupled": ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    "adamw-fused": ("AdamW", {"fused": True, "betas": (0.8, 0.95)}),
    "adamw-tensors": ("AdamW", {"lr": torch.tensor(0.01, dtype=torch.float64), "foreach": False}),
    "rmsprop": ("RMSprop", {"weight_decay": 0.1}),
    "rmsprop-momentum": ("RMSprop", {"momentum": 0.9, "centered": True}),
    "adamax": ("Adamax", {"weight_decay": 0.1}),
    "nadam": ("NAdam", {"weight_decay": 0.1}),
    "nadam-decoupled": ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    "radam": ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    "adagrad": ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.1, "weight_decay": 0.1}),
    "adadelta": ("Adadelta", {"weight_decay": 0.1}),
    "rprop": ("Rprop", {"etas": (0.4, 1.3)}),
    "asgd": ("ASGD", {"t0": 3, "lambd": 0.01, "weight_decay": 0.1}),
    "adafactor": ("Adafactor", {"weight_decay": 0.1}),
    "adafactor-eps": ("Adafactor", {"eps": (1e-8, 1e-3)}),
    "muon": ("Muon", {"adjust_lr_fn": "match_rms_adamw"}),
    "sparse-adam": ("SparseAdam", {}),
}


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def parameters(kind: str = "") -> list:
    shapes = [(4, 3), (3, 5)] if kind == "Muon" else [(4, 3), (5,)]
    return [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]


def drawn(params, sparse: bool = False) -> dict:
    """New gradients, also as our rules take them, by position."""
    for p in params:
        p.grad = torch.randn(p.shape) * 3
    dense = {str(i): p.grad.numpy().copy() for i, p in enumerate(params)}
    if not sparse:
        return dense
    for p in params:
        p.grad = p.grad.to_sparse()
    with jax.enable_x64(True):
        return {name: SparseGradient.from_dense(jax.numpy.asarray(g)) for name, g in dense.items()}


def under_way(kind: str, options: dict, steps: int = 7):
    params = parameters(kind)
    optimizer = getattr(torch.optim, kind)(params, **{"lr": 0.01, **options})
    for _ in range(steps):
        drawn(params, kind == "SparseAdam")
        optimizer.step()
    return optimizer, params


def off(group, params, grads) -> float:
    """How far our next step, from what was adopted, ends from theirs; parameters have taken it by now."""
    with jax.enable_x64(True):
        new, _ = group.rule.step(group.hyper, group.params, group.state, grads)
    return max(
        float(np.abs(np.asarray(new[n]) - p.detach().numpy()).max()) for n, p in zip(group.names, params, strict=True)
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_adopted_torch_takes_the_next_step(name, steps):
    kind, options = OPTIMIZERS[name]
    optimizer, params = under_way(kind, options, steps)
    (group,) = adopt_torch(optimizer).groups
    assert group.rule is not None, group.reason
    grads = drawn(params, kind == "SparseAdam")
    optimizer.step()
    assert off(group, params, grads) < 1e-12
    assert steps or not group.unknown


@pytest.mark.parametrize("slot", ["m", "v", "t"])
def test_adopted_with_a_slot_that_is_wrong_takes_another_step(slot):
    optimizer, params = under_way("Adam", {})
    (group,) = adopt_torch(optimizer).groups
    planted = {"m": group.state.v, "v": group.state.m, "t": {n: np.int32(t - 1) for n, t in group.state.t.items()}}
    grads = drawn(params)
    optimizer.step()
    object.__setattr__(group, "state", group.state._replace(**{slot: planted[slot]}))
    assert not off(group, params, grads) < 1e-6


def test_kept_state_of_sampled_coordinates_is_that_of_the_whole():
    optimizer, params = under_way("AdamW", {"amsgrad": True})
    found = group_rule("AdamW", optimizer.param_groups[0])
    kept = {key: value.numpy() for key, value in optimizer.state[params[0]].items()}
    at = np.array([0, 7, 11])
    sampled = {key: value.ravel()[at] if value.ndim else value for key, value in kept.items()}
    whole = kept_state("AdamW", found.rule, found.hyper, kept, params[0].detach().numpy())
    part = kept_state("AdamW", found.rule, found.hyper, sampled, params[0].detach().numpy().ravel()[at])
    assert part.unknown == whole.unknown == ()
    for slot in ("m", "v", "v_max"):
        assert np.array_equal(getattr(part.state, slot), getattr(whole.state, slot).ravel()[at])
    assert part.state.t == whole.state.t == 7


def test_steps_given_say_what_the_buffer_of_sgd_has_gathered():
    optimizer, _ = under_way("SGD", {"momentum": 0.9, "dampening": 0.3}, 5)
    weight = 1.0
    for _ in range(4):
        weight = 0.9 * weight + 0.7
    assert "weight" in adopt_torch(optimizer).groups[0].unknown
    (group,) = adopt_torch(optimizer, steps=5).groups
    assert not group.unknown
    np.testing.assert_allclose([*group.state.weight.values()], weight, rtol=1e-15)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: kept.pop("exp_avg"), "no exp_avg"),
        (lambda kept: kept.update(ema=np.zeros(3)), "has ema"),
        (lambda kept: kept.update(max_exp_avg_sq=np.zeros(3)), "has v_max"),
        (lambda kept: kept.update(exp_avg=np.zeros(4)), "shape"),
    ],
)
def test_kept_state_refuses_by_name(change, said):
    found = group_rule("Adam", {**torch.optim.Adam(parameters()).param_groups[0]})
    kept = {"step": 3.0, "exp_avg": np.zeros(3), "exp_avg_sq": np.ones(3)}
    assert isinstance(kept_state("Adam", found.rule, found.hyper, kept, np.zeros(3)), Kept)
    change(kept)
    with pytest.raises(AdoptError, match=said):
        kept_state("Adam", found.rule, found.hyper, kept, np.zeros(3))


class Overridden(torch.optim.Adam):
    def step(self, closure=None):
        return super().step(closure)


class Plain(torch.optim.Adam):
    """Its constructor and a helper are its own; its step is Adam's."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = 1

    def helper(self):
        return self.extra


def test_a_subclass_is_its_parent_only_where_it_steps_as_it_does():
    assert adopt_torch(Plain(parameters())).groups[0].rule is not None
    (group,) = adopt_torch(Overridden(parameters(), lr=0.2)).groups
    assert group.rule is None
    assert group.lr == 0.2
    assert "Overridden.step" in group.reason


def test_a_replaced_step_is_opaque_and_a_scheduler_is_not():
    optimizer = torch.optim.Adam(parameters())
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert adopt_torch(optimizer).groups[0].rule is not None
    step = optimizer.step
    optimizer.step = lambda *a: step(*a)
    assert adopt_torch(optimizer).groups[0].rule is None
    optimizer = torch.optim.SGD(parameters())
    optimizer.add_param_group({"params": parameters(), "momentum": 0.5})
    optimizer._init_group = lambda *a: None
    assert [g.rule for g in adopt_torch(optimizer).groups] == [None, None]


def test_a_step_with_another_ones_name_is_opaque():
    """``functools.wraps`` gives a function the name of what it takes the place of."""

    class Named(torch.optim.Adam):
        @functools.wraps(torch.optim.Adam.step)
        def step(self, closure=None):
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(1.0)

    weight = torch.nn.Parameter(torch.ones(2))
    patched = torch.optim.Adam([weight])
    theirs = patched.step

    @functools.wraps(theirs)
    def noisy(*args, **kwargs):
        theirs(*args, **kwargs)
        weight.data.add_(1.0)

    patched.step = noisy
    for optimizer in (Named([weight]), patched):
        (group,) = adopt_torch(optimizer).groups
        assert group.rule is None
        assert "not that of torch.optim.Adam" in group.reason


def test_lbfgs_is_opaque_and_keeps_its_reason():
    (group,) = adopt_torch(torch.optim.LBFGS(parameters(), lr=0.5)).groups
    assert group.rule is None
    assert group.lr == 0.5
    assert "line search" in group.reason


def test_groups_have_their_own_numbers_names_and_notes():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    optimizer = torch.optim.AdamW(
        [{"params": model[0].parameters(), "label": "linear"}, {"params": model[1].parameters(), "weight_decay": 0.0}],
        lr=torch.tensor(0.5),
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=10)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    first, second = adopt_torch(optimizer, model).groups
    assert (first.names, second.names) == (("0.weight", "0.bias"), ("1.weight", "1.bias"))
    assert adopt_torch(optimizer).groups[1].names == ("2", "3")
    assert (first.hyper.weight_decay, second.hyper.weight_decay) == (0.01, 0.0)
    assert first.hyper.lr == first.lr == scheduler.get_last_lr()[0].item()
    assert first.hyper.beta1 == optimizer.param_groups[0]["betas"][0] != 0.9
    assert "label='linear'" in first.notes[0]
    assert not second.notes


def test_param_names_of_the_optimizer_are_taken():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.named_parameters())
    assert adopt_torch(optimizer).groups[0].names == ("weight", "bias")


def test_parameters_without_gradients_have_a_fresh_state():
    optimizer, params = under_way("Adam", {})
    optimizer.add_param_group({"params": parameters()})
    params[0].grad = None
    optimizer.step()
    first, second = adopt_torch(optimizer).groups
    assert [int(t) for t in first.state.t.values()] == [7, 8]
    assert [int(t) for t in second.state.t.values()] == [0, 0]


def test_adopting_changes_nothing():
    optimizer, params = under_way("Adam", {})
    before = [p.detach().clone() for p in params], {k: v.clone() for k, v in optimizer.state[params[0]].items()}
    (group,) = adopt_torch(optimizer).groups
    for values in group.params.values():
        values += 1
    group.state.m["0"][:] = 0
    assert all(torch.equal(a, b) for a, b in zip(before[0], params, strict=True))
    assert all(torch.equal(v, optimizer.state[params[0]][k]) for k, v in before[1].items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": -0.1}, "lr=-0.1 is outside"),
        ({"betas": 0.9}, "must be a tuple"),
        ({"betas": (torch.ones(2), 0.9)}, "has shape"),
        ({"eps": None}, "has no eps"),
    ],
)
def test_a_group_that_cannot_be_read_is_opaque_by_name(change, said):
    optimizer = torch.optim.Adam(parameters())
    group = {**optimizer.param_groups[0], **change}
    if change == {"eps": None}:
        del group["eps"]
    found = group_rule("Adam", group)
    assert found.rule is None
    assert said in found.reason


def test_complex_and_half_precision_parameters():
    complex_ = torch.nn.Parameter(torch.randn(3, dtype=torch.complex64))
    (group,) = adopt_torch(torch.optim.Adam([complex_])).groups
    assert "complex64" in group.reason
    half = torch.nn.Parameter(torch.randn(3).bfloat16())
    optimizer = torch.optim.Adafactor([half])
    half.grad = torch.randn(3).bfloat16()
    optimizer.step()
    (group,) = adopt_torch(optimizer).groups
    assert group.params["0"].dtype == group.state.variance["0"].dtype == jax.numpy.bfloat16
    assert group.state.floor["0"] == 2.0**-7


def test_a_hook_is_named():
    optimizer = torch.optim.Adam(parameters())
    optimizer.register_step_pre_hook(lambda *a: None)
    assert "is called at every step" in adopt_torch(optimizer).notes[0]


class Wrapping(torch.optim.Optimizer):
    """One that passes its steps on, as Accelerate's does."""

    def __init__(self, optimizer):
        self.optimizer, self.param_groups, self.state = optimizer, optimizer.param_groups, optimizer.state
        self._optimizer_step_pre_hooks = self._optimizer_step_post_hooks = {}

    def step(self):
        self.optimizer.step()


def test_closed_emptied_and_odd_optimizers():
    closed = torch.optim.Adam(parameters())
    closed.param_groups.clear()
    assert adopt_torch(closed).groups == ()
    emptied = torch.optim.Muon([torch.nn.Parameter(torch.randn(2, 2))])
    emptied.param_groups[0]["params"] = []
    assert adopt_torch(emptied).groups[0].state.buffer == {}
    assert "adopt that" in adopt_torch(Wrapping(torch.optim.Adam(parameters()))).groups[0].reason
    unreal = torch.optim.Adam([torch.nn.Parameter(torch.empty(3, device="meta"))])
    assert "meta" in adopt_torch(unreal).groups[0].reason
    optimizer, params = under_way("Adam", {})
    params[0].data = torch.randn(5, 2)
    assert "shape" in adopt_torch(optimizer).groups[0].reason
    switched = torch.optim.AdamW(parameters(), lr=0.1)
    switched.param_groups[0]["decoupled_weight_decay"] = False
    (group,) = adopt_torch(switched).groups
    assert group.rule.options["decoupled"] is False
    assert group.spec.startswith("torch.optim.Adam(lr=0.1")


def test_a_sparse_gradient_leaves_a_buffer_that_is_read():
    table = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        table(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
    (group,) = adopt_torch(optimizer).groups
    np.testing.assert_allclose(group.state.buffer["0"], [[0, 0], [1.9, 1.9], [1.9, 1.9], [0, 0]])
