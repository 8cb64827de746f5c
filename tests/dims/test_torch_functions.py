"""Functions of torch against numbers: a function of scaled operands is its result scaled by the units of its rule."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from lrtheory.dims import infer  # noqa: E402
from lrtheory.dims._kernel.equations import UnknownOperationError  # noqa: E402
from lrtheory.dims._kernel.expression import Expression  # noqa: E402
from lrtheory.dims._kernel.ledger import Ledger  # noqa: E402
from lrtheory.dims._kernel.value import Value  # noqa: E402
from lrtheory.dims._verdict import diagnose  # noqa: E402
from lrtheory.dims.torch_reader import functions  # noqa: E402
from lrtheory.dims.torch_reader.mode import UnitsMode  # noqa: E402
from lrtheory.units import GRADIENT, PARAM, PURE  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated")

G, P = GRADIENT, PARAM
X = torch.tensor([[0.7, -1.3, 2.1], [0.4, 3.2, -0.6], [-2.2, 0.9, 1.7]], dtype=torch.float64)
Y = torch.tensor([[1.1, 0.3, -0.8], [2.4, -1.5, 0.2], [0.6, 1.9, -0.4]], dtype=torch.float64)
S = X @ X.T + torch.eye(3, dtype=torch.float64)  # symmetric and positive
L = torch.linalg.cholesky(S)
U = X.abs() / 10 + 0.1
AT = torch.tensor([[2, 0, 1], [1, 0, 2], [0, 2, 1]])  # each place once, along the second axis
SOME = torch.tensor([[0, 0, 1], [1, 0, 0], [2, 2, 1]])
GP, PG, INV = G.times(P), P.times(G.power(-1)), G.power(-1)


def of_graph(x, y):
    x = x.requires_grad_()
    return torch.autograd.grad((x**3).sum(), x)[0] + 0 * y


# entry of the table, function, operands, their units, units of the results
CASES = [
    ("qr", lambda x: tuple(torch.linalg.qr(x)), [X], [G], [PURE, G]),
    ("svd", lambda x: torch.linalg.svd(x)[1], [X], [G], [G]),
    ("linalg_eigh", lambda x: tuple(x.abs() for x in torch.linalg.eigh(x)), [S], [G], [G, PURE]),
    ("linalg_eigvals", lambda x: torch.linalg.eigvals(x).abs().sort().values, [S], [G], [G]),
    ("einsum", lambda x, y: torch.einsum("ij,kj->ik", x, y), [X, Y], [G, P], [GP]),
    ("linalg_solve", torch.linalg.solve, [X, Y], [G, P], [PG]),
    ("linalg_solve_triangular", lambda a, b: torch.linalg.solve_triangular(a, b, upper=False), [L, Y], [G, P], [PG]),
    ("linalg_solve_triangular",
     lambda b, a: torch.linalg.solve_triangular(a, b, upper=False, left=False), [Y, L], [P, G], [PG]),
    ("linalg_solve_triangular",
     lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True), [L, Y], [PURE, P], [P]),
    ("triangular_solve", lambda b, a: tuple(torch.triangular_solve(b, a, upper=False)), [Y, L], [P, G], [PG, G]),
    ("cholesky_solve", torch.cholesky_solve, [Y, L], [P, G], [P.times(G.power(-2))]),
    ("cholesky_inverse", torch.cholesky_inverse, [L], [G], [G.power(-2)]),
    ("linalg_lu_solve", lambda x, y: torch.linalg.lu_solve(*torch.linalg.lu_factor(x), y), [X, Y], [PURE, P], [P]),
    ("linalg_lstsq", lambda x, y: torch.linalg.lstsq(x, y)[0], [X, Y], [G, P], [PG]),
    ("det", torch.det, [X], [G], [G.power(3)]),
    ("matrix_power", lambda x: torch.linalg.matrix_power(x, 3), [X], [G], [G.power(3)]),
    ("matrix_power", lambda x: torch.matrix_power(x, -2), [X], [G], [G.power(-2)]),
    ("slogdet", lambda x: tuple(torch.linalg.slogdet(x)), [X], [PURE], [PURE, PURE]),
    ("logdet", torch.logdet, [S], [PURE], [PURE]),
    ("linalg_multi_dot", lambda x, y: torch.linalg.multi_dot([x, y, x]), [X, Y], [G, P], [GP.times(G)]),
    ("inverse", torch.linalg.inv, [X], [G], [INV]),
    ("cov", torch.cov, [X], [G], [G.power(2)]),
    ("corrcoef", torch.corrcoef, [X], [G], [PURE]),
    ("linalg_cond", torch.linalg.cond, [X], [G], [PURE]),
    ("cdist", torch.cdist, [X, Y], [G, G], [G]),
    ("cdist", lambda x, y: torch.cdist(x, y, p=0.0), [X, Y], [G, G], [PURE]),  # it counts entries that differ
    ("dist", torch.dist, [X, Y], [G, G], [G]),
    ("hypot", torch.hypot, [X, Y], [G, G], [G]),
    ("diff", lambda x, y: torch.diff(x, prepend=y), [X, Y], [G, G], [G]),
    ("linalg_cross", torch.linalg.cross, [X, Y], [G, P], [GP]),
    ("cosine_similarity", lambda x, y: torch.nn.functional.cosine_similarity(x, y, eps=0), [X, Y], [G, P], [PURE]),
    ("normalize", lambda x: torch.nn.functional.normalize(x, eps=0), [X], [G], [PURE]),
    ("scatter", lambda x, y: x.scatter(1, SOME, y), [X, Y], [G, G], [G]),
    ("scatter", lambda x, y: x.scatter(1, AT, y), [X, Y], [P, G], [G]),  # nothing is left of the first
    ("scatter", lambda x, y: x.scatter(1, AT, y, reduce="multiply"), [U, U], [PURE, PURE], [PURE]),
    ("scatter_add", lambda x, y: x.scatter_add(1, AT, y), [X, Y], [G, G], [G]),
    ("index_add", lambda x, y: x.index_add(0, SOME[0], y, alpha=0.5), [X, Y], [G, G], [G]),
    ("scatter_reduce", lambda x, y: x.scatter_reduce(1, SOME, y, "amax"), [X, Y], [G, G], [G]),
    ("scatter_reduce", lambda x, y: x.scatter_reduce(1, SOME, y, "prod"), [U, U], [PURE, PURE], [PURE]),
    ("select_scatter", lambda x, y: torch.select_scatter(x, y[0], 0, 1), [X, Y], [G, G], [G]),
    ("masked_scatter", lambda x, y: x.masked_scatter(AT > 0, y), [X, Y], [G, G], [G]),
    ("index_put", lambda x, y: x.index_put((AT[0],), y), [X, Y], [G, G], [G]),
    ("take_along_dim", lambda x: torch.take_along_dim(x, AT, 1), [X], [G], [G]),
    ("searchsorted", lambda x, y: torch.searchsorted(x.sort().values, y).double(), [X, Y], [G, G], [PURE]),
    ("complex", lambda x, y: torch.complex(x, y).abs(), [X, Y], [G, G], [G]),
    ("copysign", torch.copysign, [X, Y], [G, P], [G]),
    ("heaviside", torch.heaviside, [X, U], [G, PURE], [PURE]),
    ("relu", torch.relu, [X], [G], [G]),
    ("leaky_relu", torch.nn.functional.leaky_relu, [X], [G], [G]),
    ("ldexp", torch.ldexp, [X, Y], [G, PURE], [G]),
    ("float_power", lambda x: torch.float_power(x, 2.0), [X], [G], [G.power(2)]),
    ("fft_fft", lambda x: torch.fft.irfft(torch.fft.rfft(x), n=3), [X], [G], [G]),
    ("hsplit", lambda x: torch.hsplit(x, 3)[1], [X], [G], [G]),
    ("column_stack", lambda x, y: torch.column_stack([x, y]), [X, Y], [G, G], [G]),
    *((name, getattr(torch, name), [U], [PURE], [PURE]) for name in ("atan", "asinh", "atanh", "erfc")),
    ("acosh", lambda x: torch.acosh(1 + x), [U], [PURE], [PURE]),
    ("addmm", lambda x, y: torch.addmm(x, mat1=y, mat2=y), [X, Y], [G.power(2), G], [G.power(2)]),
    ("grad", of_graph, [X, Y], [P, P.power(2)], [P.power(2)]),
]  # fmt: skip
IDS = [f"{c[0]}-{i}" for i, c in enumerate(CASES)]


def read(function, operands, units):
    """The units of the results, and what is wrong."""
    ledger = Ledger()
    mode = UnitsMode(ledger)
    operands = [x.clone() for x in operands]
    for x, u in zip(operands, units, strict=True):
        mode.note(x, Value(Expression(u), measured=True))
    with mode:
        made = function(*operands)
    found = diagnose(ledger)
    return [found.solver.residual(mode.known(x).or_pure)[0] for x in as_list(made)], found.breaks


def as_list(made):
    return list(made) if isinstance(made, tuple) else [made]


def in_numbers(function, operands, units, expected):
    """Whether scaled operands give what the units say, in sizes: factors are unique but for signs."""
    before = as_list(function(*(x.clone() for x in operands)))
    for a, c in ((8.0, 1.0), (1.0, 4.0)):
        after = as_list(function(*(x * u.factor(a, c) for x, u in zip(operands, units, strict=True))))
        for b, x, u in zip(before, after, expected, strict=True):
            if not torch.allclose(x.detach().abs(), b.detach().abs() * u.factor(a, c), rtol=1e-8, atol=1e-12):
                return False
    return True


@pytest.mark.parametrize(("name", "function", "operands", "units", "expected"), CASES, ids=IDS)
def test_function_scales_by_the_units_of_its_rule(name, function, operands, units, expected):
    found, breaks = read(function, operands, units)
    assert not breaks
    assert found == expected
    assert in_numbers(function, operands, units, found)


@pytest.mark.parametrize(("name", "function", "operands", "units", "expected"), CASES, ids=IDS)
def test_another_exponent_is_seen_in_numbers(name, function, operands, units, expected):
    assert not in_numbers(function, operands, units, [u.times(G) for u in expected])


# A rule that says nothing but "as its first operand": numbers must tell.
@pytest.mark.parametrize(
    "name", ["linalg_solve_triangular", "cholesky_solve", "linalg_det", "linalg_matrix_power", "cov"]
)
def test_planted_rule_is_found_out(name, monkeypatch):
    case = next(c for c in CASES if c[0] in (name, name.removeprefix("linalg_")))
    monkeypatch.setitem(functions.TABLE, name, functions.keep)
    monkeypatch.setitem(functions.TABLE, name.removeprefix("linalg_"), functions.keep)
    found, _ = read(*case[1:4])
    assert found != case[4]
    assert not in_numbers(*case[1:4], found)


@pytest.mark.parametrize(
    ("function", "operands", "units"),
    [*((f, o, [P, P.power(3)]) for _, f, o, us, _ in CASES if us == [G, G]),
     *((f, o, [G] * len(us)) for n, f, o, us, _ in CASES if all(u.is_pure for u in us) and "lu" not in n),
     (CASES[8][1], [L, Y], [G, P]), (lambda x: torch.hypot(x.square(), torch.tensor(-1.0)), [X], [G]),
     (torch.heaviside, [X, U], [G, G]), (torch.ldexp, [X, Y], [G, P])],
)  # fmt: skip
def test_function_refuses_what_has_no_units(function, operands, units):
    assert read(function, operands, units)[1]


class LeakyRelu(torch.optim.Optimizer):
    """Divides by a bent gradient, whose bend is a hyperparameter."""

    def __init__(self, params, lr=1e-2, bend=2.0):
        super().__init__(params, {"lr": lr, "bend": bend})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(p.grad / torch.nn.functional.leaky_relu(-p.grad.abs(), group["bend"]), alpha=group["lr"])


def test_number_that_bends_a_function_is_pure_and_not_free():
    found = infer(LeakyRelu)
    assert (found.verdict, str(found.hyper["bend"]), "bend" in found.free) == ("proven", "1", False)


def test_factors_in_one_array_have_no_units():
    with pytest.raises(UnknownOperationError, match="lu_"):
        read(lambda x, y: torch.linalg.lu_solve(*torch.linalg.lu_factor(x), y), [X, Y], [G, P])


# --- a tiny multiple of an identity matrix protects a decomposition; it is no constant in arithmetic ---


@pytest.mark.parametrize(
    "protect", [lambda x: x + 1e-30 * torch.eye(3), lambda x: torch.add(x, torch.eye(3), alpha=1e-30)]
)
def test_tiny_multiple_of_an_identity_is_a_guard(protect):
    assert read(protect, [S], [G]) == ([G], [])


@pytest.mark.parametrize(
    "function",
    [lambda x: x + 1e-3 * torch.eye(3), lambda x: x + torch.eye(3), lambda x: x + (torch.eye(3) - 1.0),
     lambda x: x + (1e-30 * torch.eye(3) - 1e-30) * 1e30],
)  # fmt: skip
def test_other_identities_are_numbers(function):
    assert read(function, [S], [G])[1]
