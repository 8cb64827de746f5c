"""The commands and their options."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lrtheory import __version__

from .errors import BAD_INPUT, FAILED, INTERRUPTED, BadInput, NotWritten, complain, interruptible, missing_package

app = typer.Typer(
    name="lrtheory",
    help="What learning rate does a parameter really train with, and does the code obey the theory?",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")]
Reduction = Annotated[
    Literal["mean", "sum"] | None,
    typer.Option(help="How the loss is made of its examples' losses; mean unless given."),
]
Reduced = Annotated[
    Literal["mean", "sum"] | None, typer.Option(help="How their gradients are brought together; as --reduction.")
]
LARGEST_SEED = 2**32 - 1


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed <= LARGEST_SEED:
        raise typer.BadParameter(f"{text!r} is not a whole number from 0 to {LARGEST_SEED}")
    return seed


def _run(module: str, /, **given: Any) -> int:
    """The command of that module, which is imported now."""
    return importlib.import_module(f".{module}", __package__).command(**given)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"lrtheory {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _front(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="Directory for index.html and report.json.")] = Path("report"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer runs: some 45 seconds on two cores.")] = False,
    seed: Annotated[int, typer.Option(parser=_seed, metavar="INTEGER", help="Seed of data, weights and batches.")] = 0,
    json: Json = False,
) -> int:
    """Train a real model in JAX and PyTorch, and write one offline page of verdicts and pictures."""
    return _run("report", **locals())


@app.command()
def replay(
    rules: Annotated[list[str] | None, typer.Argument(metavar="[RULE]...", help="Rules by name; all of them.")] = None,
    dtype: Annotated[
        Literal["float64", "float32", "bfloat16", "float16"],
        typer.Option(help="float64 is held to a gate; of the others, each of our steps is held to a bound of its own."),
    ] = "float64",
    against: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="With what to compare: torch, optax, keras, eager, capturable; or several, by commas."
        ),
    ] = "torch,optax",
    quick: Annotated[bool, typer.Option("--quick", help="One set of hyperparameters for each set of options.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the matrix to this file, as one offline page.")] = None,
    json: Json = False,
) -> int:
    """Feed the same gradients to every implementation of a rule and show by how much they differ.

    Exits with 1 if a difference is beyond the bound it is held to.
    """
    return _run("replay", **locals())


@app.command()
def dims(
    target: Annotated[
        str | None, typer.Argument(help="A rule, a dotted name with or without arguments, or module:callable.")
    ] = None,
    audit: Annotated[
        list[str] | None, typer.Option(metavar="LIBRARY", help="optax, optax.contrib or torch; may be repeated.")
    ] = None,
    json: Json = False,
) -> int:
    """Infer units of an optimizer's hyperparameters and state from its own code, or the line where no scaling law holds."""
    return _run("dims", **locals())


@app.command()
def symmetries(
    target: Annotated[
        str, typer.Argument(help="module:factory, a function that returns (loss, params or torch module, *data).")
    ],
    seed: Annotated[int, typer.Option(parser=_seed, metavar="INTEGER", help="Seed of the parameters tried.")] = 0,
    json: Json = False,
) -> int:
    """Find the scale symmetries of a network, the line that fixes each other tensor, and try all of it in numbers.

    Exits with 1 if a symmetry does not hold in numbers.
    """
    return _run("symmetries", **locals())


@app.command()
def check(
    target: Annotated[
        str | None,
        typer.Argument(
            help="A dotted name with or without arguments, module:callable, or a rule; without one, the checks."
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="SPEC", help="What it should equal, such as adam(lr=0.1).")
    ] = None,
    expect_fail: Annotated[
        list[str] | None, typer.Option(metavar="ID=REASON", help="A failure that is meant to be; may be repeated.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ID", help="One check; may be repeated.")] = None,
    claims_law: Annotated[bool, typer.Option("--claims-law", help="A broken scaling law is a failure.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds for each check, and for making TARGET.")
    ] = None,
    json: Json = False,
) -> int:
    """Check any optax transformation or torch optimizer against all that one may expect of it.

    Exits with 1 if a check fails, or if one that is expected to fail passes.
    """
    return _run("check", **locals())


@app.command()
def diagnose(
    a: Annotated[str, typer.Argument(help="An optimizer or a schedule, such as 'optax.rmsprop(0.01, momentum=0.9)'.")],
    b: Annotated[str, typer.Argument(help="Another, such as 'torch.optim.RMSprop(lr=0.01, momentum=0.9)'.")],
    dtype: Annotated[
        Literal["float64", "float32", "bfloat16"],
        typer.Option(help="In which both run; a narrow one has a constant lr."),
    ] = "float64",
    missing: Annotated[
        bool, typer.Option("--missing", help="Give one tensor no gradient at first: None in torch, zeros in JAX.")
    ] = False,
    json: Json = False,
) -> int:
    """Find the smallest change of settings that makes A run as B does, and say it in a sentence."""
    return _run("diagnose", **locals())


@app.command()
def explain(
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC...",
            help="Such as 'torch.optim.Adam(lr=1e-3)', 'optax.adamw(1e-3)' or 'adam(lr=1e-3)'; one for each group.",
        ),
    ],
    loss_scale: Annotated[float, typer.Option(metavar="A", help="What the loss is multiplied by.")] = 1.0,
    param_scale: Annotated[float, typer.Option(metavar="C", help="What the parameters are multiplied by.")] = 1.0,
    batch_scale: Annotated[float, typer.Option(metavar="K", help="What the batch size is multiplied by.")] = 1.0,
    reduction: Reduction = None,
    method: Annotated[
        Literal["linear", "sqrt", "sde", "half-life"] | None,
        typer.Option(help="Rule for the batch size; the one derived unless given."),
    ] = None,
    accumulation: Annotated[
        float, typer.Option(metavar="K", help="What the number of micro-batches of a step is multiplied by.")
    ] = 1.0,
    accumulation_reduction: Reduced = None,
    world_size: Annotated[
        float, typer.Option(metavar="K", help="What the number of processes is multiplied by.")
    ] = 1.0,
    world_reduction: Reduced = None,
    tokens: Annotated[
        str,
        typer.Option(
            metavar="N,N,…",
            help="Tokens of each micro-batch or process, from the mean of their means to the mean over all tokens.",
        ),
    ] = "",
    length: Annotated[
        float, typer.Option(metavar="L", help="What the examples of the whole run are multiplied by.")
    ] = 1.0,
    hold: Annotated[
        Literal["decay"] | None, typer.Option(help="Keep the time scale of weight decay the same share of the run.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Show it in a browser too, as a page that loads nothing.")
    ] = False,
    json: Json = False,
) -> int:
    """Explain an optimizer, and say what to set instead for another loss, batch, number of processes, length of the run, or all."""
    return _run("explain", **locals())


@app.command()
def port(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC", help="Such as 'torch.optim.AdamW(lr=1e-3, weight_decay=0.1)', with its schedule."
        ),
    ],
    to: Annotated[Literal["optax", "torch", "keras", "lrtheory"], typer.Option(help="The framework to write it in.")],
    json: Json = False,
) -> int:
    """Write an optimizer as code for another framework, after the code was run beside the old one.

    Exits with 1 if the nearest that there is differs, and says in which setting.
    """
    return _run("port", **locals())


@app.command()
def translate(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="An optimizer, such as 'adamw(lr=1e-3)'.")],
    to: Annotated[
        str,
        typer.Option(metavar="SPEC", help="Another: lion, muon, adamw, sgd, or one with arguments, which are kept."),
    ],
    gradient_rms: Annotated[
        float | None,
        typer.Option(metavar="G", help="Root mean square of gradients, where updates are in proportion to them; 1."),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="ROWSxCOLUMNS", help="Of the matrices, where updates depend on it.")
    ] = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Show both on the digits.")] = True,
    json: Json = False,
) -> int:
    """Say hyperparameters of another optimizer whose updates are as large and whose weight decay is as fast, and run both.

    This matches sizes; the two are not equivalent.
    """
    return _run("translate", **locals())


@app.command()
def laws(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A law, a section, or words of a title; all of them, in short.")
    ] = None,
    seed: Annotated[int, typer.Option(parser=_seed, metavar="INTEGER", help="Seed of what each check draws.")] = 0,
    json: Json = False,
) -> int:
    """Verify the laws of the catalogue, or show one with its statement, its evidence and wrong versions of it.

    Exits with 1 if a law is not as stated.
    """
    return _run("laws", **locals())


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def watch(
    script: Annotated[
        Path, typer.Argument(help="A training script, or the directory of a record.", show_default=False)
    ],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARGS]...", help="Of the script.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Measure the first step, and every so many after it.")] = 100,
    sample: Annotated[int, typer.Option(min=1, help="Coordinates of a tensor that are recorded.")] = 256,
    out: Annotated[Path, typer.Option(help="Directory of the record, the table and the findings.")] = Path("run"),
    json: Json = False,
) -> int:
    """Run a training script as it is, and say what learning rate its torch optimizers really trained with.

    Exits as the script does. Given the directory of a record, reads it again.
    """
    return _run("watch", **locals())


@app.command()
def resume(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of a training run: a file or a folder.")],
    optimizer: Annotated[
        str | None, typer.Option(metavar="SPEC", help="What the run trains with, where the checkpoint does not say it.")
    ] = None,
    json: Json = False,
) -> int:
    """Say what is wrong with a checkpoint, without running anything: counts, moments, groups, names, lr, dtypes.

    Exits with 1 if something is.
    """
    return _run("resume", **locals())


def run(arguments: list[str]) -> int:
    """Run a command line; what the user can mend is said in one line."""
    try:
        with interruptible():
            status = app(arguments, prog_name="lrtheory", standalone_mode=False) or 0
    except BadInput as error:
        complain(error)
        return BAD_INPUT
    except NotWritten as error:
        complain(error)
        return FAILED
    except ModuleNotFoundError as error:
        return missing_package(error, arguments[0] if arguments else None)
    except typer.Abort:
        status = INTERRUPTED
    except Exception as error:
        # What typer refuses says so itself; its exception classes are click's own or a copy of them.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        known = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
        command = f"{arguments[0]} " if arguments[:1] and arguments[0] in known else ""
        complain(f"{str(explain()).rstrip('.')}; try 'lrtheory {command}--help'")
        return BAD_INPUT
    if status == INTERRUPTED:  # typer returns it where click raises Abort
        complain("stopped; files written earlier are as they were")
    return status
