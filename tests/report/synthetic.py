"""A report with made-up numbers, shaped like a measured one, and with everything in it that is hard to draw."""

from __future__ import annotations

import math

from parity.measured import (
    BatchRun,
    ChangedRun,
    Claim,
    EffectiveCurves,
    Layer,
    LossScaleRun,
    Measured,
    ParityRow,
    PhaseDiagram,
    TrainingRun,
    Verdict,
)

HOSTILE = "</script><script>document.documentElement.dataset.owned='yes'</script><img src=x onerror=alert(1)>"
LONG = "encoder.blocks.11.attention.projection_of_queries_keys_and_values.weight_normalised.scale"

STEPS = 300


def curve(start: float, end: float, n: int = STEPS, wobble: float = 0.05) -> list[float | None]:
    """From ``start`` to ``end`` on a log axis, with some unrest."""
    ratio = end / start
    return [start * ratio ** (i / (n - 1)) * math.exp(wobble * math.sin(1.7 * i)) for i in range(n)]


def layer(name: str, base: float) -> Layer:
    middle = curve(0.4 * base, 6 * base)
    return Layer(
        name=name,
        scale_invariant=name.startswith("hidden"),
        q05=[0.3 * v for v in middle if v is not None],
        q50=middle,
        q95=[5 * v for v in middle if v is not None],
        harmonic_mean=[0.8 * v for v in middle if v is not None],
        eps_dominated=[0.1] * STEPS,
        relative_update=curve(0.1, 2e-4, wobble=0.3),
        decay_share=[0.02] * STEPS,
        angular_lr=curve(base, 0.1 * base),
        rotation=curve(0.1, 0.01),
    )


def training(rule: str, schedule: str, names: list[str], lr: float) -> TrainingRun:
    loss = curve(2.3, 0.02)
    nominal: list[float | None] = [lr if schedule == "constant" else lr * (1 - i / STEPS) for i in range(STEPS)]
    if schedule != "constant":
        nominal[-1] = 0.0  # a schedule may end at zero, which a log axis cannot show
    return TrainingRun(
        model="mlp 64-32-10",
        rule=rule,
        schedule=schedule,
        steps=STEPS,
        dtype="float64",
        step=list(range(1, STEPS + 1)),
        nominal_lr=nominal,
        loss_jax=loss,
        loss_torch=list(loss),
        accuracy_jax=0.961,
        accuracy_torch=0.961,
        largest_difference=3.1e-14,
        first_difference_step=None,
        layers=[layer(name, lr * 3**i) for i, name in enumerate(names)],
    )


def loss_scale() -> list[LossScaleRun]:
    runs = []
    for rule in ("sgd", "adam", "rmsprop"):
        for framework in ("jax", "torch"):
            base = curve(3.0, 1e-6, 200)
            diverging: list[float | None] = [3.0 * 1e6**i if i < 50 else None for i in range(200)]
            uncorrected = diverging if rule == "sgd" else curve(3.0, 2e-6, 200)
            variants = (
                ("as it is", 1.0, base, False, 0.0),
                ("loss × 10, same numbers", 10.0, uncorrected, rule == "sgd", None if rule == "sgd" else 0.02),
                (
                    "loss × 10, lr / 10",
                    10.0,
                    base if rule == "sgd" else curve(3.0, 0.5, 200),
                    False,
                    1e-15 if rule == "sgd" else 0.9,
                ),
                ("loss × 10, corrected by its law", 10.0, list(base), False, 2e-15),
            )
            runs += [
                LossScaleRun(
                    problem="linear regression",
                    rule=rule,
                    variant=variant,
                    framework=framework,
                    alpha=alpha,
                    hyper={"lr": 0.01, "eps": 1e-8},
                    loss=list(loss),
                    diverged=diverged,
                    distance=distance,
                )
                for variant, alpha, loss, diverged, distance in variants
            ]
    return runs


def batch() -> list[BatchRun]:
    return [
        BatchRun(
            framework=framework,
            reduction=reduction,
            batch=size,
            gradient_norm=3.0 * factor,
            step_norm=0.03 * factor,
            step_ratio=factor,
            predicted_ratio=factor if reduction == "sum" else None,
            per_example_lr=0.01 if reduction == "sum" else 0.01 / size,
        )
        for framework in ("jax", "torch")
        for reduction in ("sum", "mean")
        for size in (32, 128, 512)
        for factor in (size / 32 if reduction == "sum" else 1.0 + 0.05 * math.sin(size),)
    ]


def curves(rule: str, framework: str, nominal: list[float | None]) -> EffectiveCurves:
    n = len(nominal)
    coordinates = {f"w[{i}]": curve(0.01 * 2**i, 0.2 * 2**i, n) for i in range(4)}
    coordinates["bias"] = curve(0.01, 0.02, n)
    return EffectiveCurves(
        framework=framework,
        rule=rule,
        step=list(range(1, n + 1)),
        nominal_lr=nominal,
        coordinates=coordinates if rule != "sgd" else {"every coordinate": list(nominal)},
        step_norm=curve(0.1, 0.001, n),
    )


def parity() -> list[ParityRow]:
    rows = []
    for dtype, rounding in (("float64", 2e-16), ("float32", 1e-7)):
        for rule, options in (
            ("sgd", ("", "momentum 0.9", "nesterov=True, momentum 0.9, weight_decay 0.02")),
            ("adam", ("", "amsgrad=True", "decoupled=True, lr 0.001, beta1 0.5, beta2 0.99, eps 1e-06")),
        ):
            for option in options:
                for schedule in ("constant", "moving"):
                    for implementation in ("torch", "torch-foreach", "torch-fused", "optax"):
                        for mode in ("free", "forced") if implementation == "torch" else ("free",):
                            known = implementation == "optax" and option == "amsgrad=True"
                            broken = implementation == "torch-fused" and rule == "sgd" and option == "momentum 0.9"
                            error = 0.03 if known or broken else rounding * len(option)
                            rows.append(
                                ParityRow(
                                    rule=rule,
                                    options=option,
                                    implementation=implementation,
                                    mode=mode,
                                    dtype=dtype,
                                    schedule=schedule,
                                    steps=200,
                                    largest_error=error,
                                    error_by_step=[error * (i + 1) / 40 for i in range(40)],
                                    ulp_median=0.0,
                                    ulp_99=2.0,
                                    ulp_largest=140.0,
                                    first_difference={
                                        "step": 2,
                                        "tensor": HOSTILE,
                                        "coordinate": [3, 1],
                                        "ours": 0.1234567891,
                                        "theirs": 0.1334567891,
                                        "truth": 0.1234567892,
                                    }
                                    if error > 1e-3
                                    else None,
                                    gate=None if known or dtype == "float32" else 1e-13,
                                    bound_share=None if dtype == "float64" else 0.3,
                                    their_bound_share=None if dtype == "float64" else 2.9,
                                    passed=None if known or dtype == "float32" else error <= 1e-13,
                                    note="optax corrects the bias before it takes the maximum" if known else "",
                                    refused="",
                                )
                            )
    return rows


def verdicts() -> list[Verdict]:
    return [
        Verdict(
            id="loss-scale-sgd",
            question="Does dividing lr by α undo a loss scaled by α?",
            outcome="depends",
            sentence="For SGD yes, to the last bit; for Adam and RMSprop no: there it is eps that must be scaled.",
            evidence="SGD: 1e-15 of the travel apart. Adam: 0.9 of the travel apart with lr/10, 2e-15 with eps·10.",
            advice="Multiply eps by α for Adam and RMSprop, and leave lr alone.",
            figure="loss-scale",
        ),
        Verdict(
            id="parity",
            question="Is lrtheory the same as PyTorch?",
            outcome="holds",
            sentence="Yes, within rounding, for every option.",
            evidence=f"Largest error 3e-15; {LONG}",
            advice="Trust what the pictures say about a PyTorch run.",
            figure="parity",
        ),
        Verdict(
            id="hostile",
            question=f"Does {HOSTILE} stay text?",
            outcome="fails",
            sentence="It must.",
            evidence=HOSTILE,
            advice="Escape it.",
            figure="effective-lr",
        ),
    ]


def changes() -> list[ChangedRun]:
    runs = []
    for rule in ("SGD with momentum", "adam"):
        for change, frameworks in (("loss ×128", ("jax", "torch")), ("batch ×4", ("jax",))):
            by_batch = change.startswith("batch")
            for framework in frameworks:
                for variant in ("as it is", "unchanged hyperparameters", "rescaled"):
                    diverges = variant == "unchanged hyperparameters" and rule != "adam" and not by_batch
                    factor = 3.0 if variant == "unchanged hyperparameters" else 1.0
                    runs.append(
                        ChangedRun(
                            rule=rule,
                            change=change,
                            variant=variant,
                            framework=framework,
                            examples=[64 * (i + 1) for i in range(STEPS)],
                            loss=[None] * STEPS if diverges else curve(2.3 * factor, 0.02 * factor),
                            hyper={"lr": 0.05 / 128 if variant == "rescaled" else 0.05, "momentum": 0.9},
                            exactness="asymptotic" if by_batch else "bitwise",
                            method="linear" if by_batch else None,
                            notes=[HOSTILE],
                            distance=None
                            if by_batch or diverges
                            else 0.0
                            if variant != "unchanged hyperparameters"
                            else 1e-4,
                            gap={"as it is": 0.0, "unchanged hyperparameters": 1.1, "rescaled": 0.2}[variant]
                            if by_batch
                            else None,
                            spread=0.05 if by_batch and variant == "as it is" else None,
                        )
                    )
    return runs


def claims() -> list[Claim]:
    return [
        Claim(
            id=f"claims.{decision}",
            claim=f"{HOSTILE} is {decision}.",
            decision=decision,
            statement="Δ(α) = αᵏΔ(1)",
            scope="of sgd; not of adam, whose steps do not see the factor at all once eps is small beside every gradient",
            ran="thirty gradients of every rule and eight times the same",
            residual=2.0 if decision == "false" else 0.0,
            bound=1.0 if decision == "false" else 1e-12,
            holds=decision != "depends",
        )
        for decision in ("true", "false", "depends")
    ]


def phases() -> list[PhaseDiagram]:
    values = [10.0 ** (i / 4 - 2) for i in range(17)]
    return [
        PhaseDiagram(
            rule=rule,
            numbers=numbers,
            lr=values,
            alpha=values,
            outcome=["".join("c" if a * lr < 1 else beyond for lr in values) for a in values],
            boundary=1.0,
            misplaced=0,
            steps=1000,
            seconds=1.5,
        )
        for rule, numbers, beyond in (("sgd", {}, "d"), ("adam", {"eps": 1e-2}, "o"))
    ]


def report() -> Measured:
    """Everything on the page, with hostile, long and missing values."""
    names = ["hidden.weight", "hidden.bias", LONG, HOSTILE]
    steps = 100
    stairs: list[float | None] = [0.1 * 0.5 ** (i // 50) for i in range(steps)]
    broken = training("rmsprop", "constant", ["output.weight"], 1e-3)
    broken["layers"][0]["q50"] = [*broken["layers"][0]["q50"][:100], *[None] * 100, *broken["layers"][0]["q50"][200:]]
    gone: list[float | None] = [None] * STEPS
    lost = layer("lost.weight", 1.0)
    broken["layers"].append({**lost, "q05": gone, "q50": gone, "q95": gone, "relative_update": gone})
    broken["loss_torch"] = [None] * STEPS
    broken["largest_difference"] = math.nan
    broken["first_difference_step"] = 7
    return Measured(
        meta={
            "created": "2026-01-02T03:04:05+00:00",
            "seed": 0,
            "quick": True,
            "seconds": 12.3,
            "versions": {"jax": "0.10.2", "torch": "2.13.0", "optax": "0.2.8"},
            "device": "cpu",
        },
        verdicts=verdicts(),
        training=[
            training("adam", "constant", names, 1e-3),
            training("sgd", "linear", names[:2], 0.1),
            broken,
        ],
        loss_scale=loss_scale(),
        thresholds=[
            {
                "framework": framework,
                "lr": 0.01,
                "curvature": 21.7,
                "predicted": 9.2165,
                "largest_converging": 9.21,
                "smallest_diverging": 9.219,
            }
            for framework in ("jax", "torch")
        ],
        batch=batch(),
        adam_nominal=[curves(rule, f, [0.01] * steps) for rule in ("adam",) for f in ("jax", "torch")],
        step_schedule=[curves(rule, "jax", stairs) for rule in ("sgd", "adam")],
        parity=parity(),
        changes=changes(),
        claims=claims(),
        phases=phases(),
    )
