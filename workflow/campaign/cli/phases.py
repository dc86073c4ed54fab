"""The phases as Snakemake's rules run them: `campaign phase NAME results/<campaign>/config.json ...`.

Each one loads the resolved config, logs to a file and to the terminal, and calls one function of the package. A phase that
needs the server and fails takes the server down with it: nothing stays up, or billed, behind a red rule.
"""

import logging
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from campaign.config import CampaignConfig, load_resolved
from campaign.core.errors import (
    AllocationTaken,
    BudgetReached,
    Interrupted,
    NodeLost,
    NodeUnfit,
    NothingToAsk,
    Preempted,
    ServerError,
    SourceEnded,
    Stalled,
    WalltimeReached,
)
from campaign.core.files import explained
from campaign.core.garbage import leave_imports_out
from campaign.core.processes import name_starter

app = typer.Typer(help="Phases, as Snakemake runs them.", no_args_is_help=True)


@app.callback()
def _by_hand() -> None:
    name_starter()


Config = Annotated[Path, typer.Argument(help="The resolved config: results/<campaign>/config.json")]
Model = Annotated[str, typer.Option(help="Name of the model in the config.")]
Dataset = Annotated[str, typer.Option(help="Name of the dataset in the config.")]
Allocation = Annotated[int, typer.Option(help="Number of the allocation.")]
Log = Annotated[Path | None, typer.Option(help="File that gets the phase's log beside the terminal.")]


@contextmanager
def _logging(log: Path | None) -> Iterator[None]:
    """Log lines to the terminal as they are, to the file with times."""
    leave_imports_out()
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    root.addHandler(terminal)
    if log is not None:
        with explained(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            to_file = logging.FileHandler(log)
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root.addHandler(to_file)
    # A shutdown and a closed terminal end a phase as Ctrl-C does; nohup, which ignores the terminal's end, is left alone.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. Nothing is lost; the same command continues.") from None
    except Exception as error:
        # The terminal gets the sentence from cli.main; the log file keeps the traceback for those who debug.
        if log is not None:
            with suppress(OSError), log.open("a") as stream:  # a full disk must not hide what went wrong
                stream.write(f"{traceback.format_exc()}failed: {error}\n")
        raise


def _with_server(
    config: CampaignConfig, model: str, allocation: int, run: Callable[[CampaignConfig, str, int], object]
) -> None:
    from campaign.allocation.requeue import note_halt

    try:
        _stopping_on_failure(config, model, allocation, run)
    except (Stalled, BudgetReached) as error:
        note_halt(config, error)
        raise


def _stopping_on_failure(
    config: CampaignConfig, model: str, allocation: int, run: Callable[[CampaignConfig, str, int], object]
) -> None:
    from campaign.allocation.requeue import mark_given_up, stop_and_exclude_node, stop_and_requeue
    from campaign.allocation.stop import stop_server

    try:
        run(config, model, allocation)
    except AllocationTaken:
        raise  # what is there is the other job's
    except (WalltimeReached, Preempted, NodeLost, NothingToAsk) as error:
        stop_and_requeue(config, model, allocation, error)
    except NodeUnfit as error:
        stop_and_exclude_node(config, model, allocation, error)
        raise
    except BaseException as error:
        stop_server(config, model, allocation)
        if isinstance(error, (ServerError, BudgetReached, SourceEnded)) and config.on_slurm:
            mark_given_up(config.paths.allocation(model, allocation), str(error))
        raise


@app.command()
def plan(config: Config, log: Log = None) -> None:
    """Check everything that can be refused, before anything is started."""
    from campaign.plan.plan import make_plan
    from campaign.slurm.job_options import handed_down

    with _logging(log):
        campaign = load_resolved(config)
        make_plan(campaign, handed_down(), keep_forecast=config != campaign.paths.planned_config)


@app.command()
def prepare_requests(config: Config, dataset: Dataset, log: Log = None) -> None:
    """Render a dataset's requests."""
    from campaign.requests.prepare import prepare

    with _logging(log):
        prepare(load_resolved(config), dataset)


@app.command()
def stage_model(config: Config, model: Model, log: Log = None) -> None:
    """Find a model's weights and write down what they are."""
    from campaign.models.stage import stage_model as stage
    from campaign.plan.checks.vllm_check import check_staged

    with _logging(log):
        campaign = load_resolved(config)
        stage(campaign, model)
        check_staged(campaign, model)


@app.command()
def enqueue(config: Config, model: Model, token: Annotated[str, typer.Option(help="Why it runs.")], log: Log = None) -> None:
    """Compare requests with answers, and list the shards that still have something to ask."""
    from campaign.benchmark.points import sweep_is_unmeasured
    from campaign.controller.run import check_taken
    from campaign.queue.enqueue import enqueue as find_pending

    with _logging(log):
        campaign = load_resolved(config)
        check_taken(campaign)
        find_pending(campaign, model, token, unmeasured=sweep_is_unmeasured(campaign, model))


@app.command()
def await_source(
    config: Config, model: Model, number: Annotated[int, typer.Option("--round", help="Number of the round.")], log: Log = None
) -> None:
    """Wait until there are enough answers of other models to make prompts of."""
    from campaign.allocation.stages.await_source import await_source as wait

    with _logging(log):
        wait(load_resolved(config), model, number)


@app.command()
def bring_up(config: Config, model: Model, allocation: Allocation, log: Log = None) -> None:
    """Start the supervisor, which starts the server."""
    from campaign.allocation.bring_up import bring_up as start

    with _logging(log):
        _with_server(load_resolved(config), model, allocation, start)


@app.command()
def ready(config: Config, model: Model, allocation: Allocation, log: Log = None) -> None:
    """Wait until the server has answered one real request."""
    from campaign.allocation.ready import ready as wait_until_ready

    with _logging(log):
        _with_server(load_resolved(config), model, allocation, wait_until_ready)


@app.command()
def infer(config: Config, model: Model, allocation: Allocation, log: Log = None) -> None:
    """Answer what is unanswered."""
    from campaign.allocation.infer import infer as answer

    with _logging(log):
        _with_server(load_resolved(config), model, allocation, answer)


@app.command()
def benchmark(config: Config, model: Model, allocation: Allocation, log: Log = None) -> None:
    """Measure the running server on the campaign's own prompts."""
    from campaign.allocation.benchmark import benchmark as measure

    with _logging(log):
        _with_server(load_resolved(config), model, allocation, measure)


@app.command()
def tear_down(config: Config, model: Model, allocation: Allocation, log: Log = None) -> None:
    """Stop the server."""
    from campaign.allocation.stop import tear_down as stop

    with _logging(log):
        stop(load_resolved(config), model, allocation)


@app.command()
def hold(config: Config, model: Model, log: Log = None) -> None:
    """Keep a server up until it is stopped or its walltime ends."""
    from campaign.allocation.interactive import keep_session_up
    from campaign.core.paths import INTERACTIVE

    with _logging(log):
        _with_server(load_resolved(config), model, INTERACTIVE, lambda settings, name, _: keep_session_up(settings, name))


@app.command()
def tune(config: Config, model: Model, log: Log = None) -> None:
    """Look for the settings that answer most, while prompts are answered."""
    from campaign.allocation.tune import tune as search
    from campaign.core.paths import TUNING

    with _logging(log):
        _with_server(load_resolved(config), model, TUNING, lambda settings, name, _: search(settings, name))


@app.command()
def tuning(config: Config, log: Log = None) -> None:
    """Account for tunings, and write what to put into the config."""
    from campaign.accounting.account import account as sum_up
    from campaign.report.tuning import write_tuning

    with _logging(log):
        campaign = load_resolved(config)
        sum_up(campaign, "")
        write_tuning(campaign)


@app.command()
def collect(config: Config, log: Log = None) -> None:
    """Check that every request has exactly one row."""
    from campaign.queue.collect import collect as verify

    with _logging(log):
        verify(load_resolved(config))


@app.command()
def gather_benchmarks(config: Config, log: Log = None) -> None:
    """Gather the benchmark points into one table."""
    from campaign.benchmark.points import gather

    with _logging(log):
        gather(load_resolved(config))


@app.command()
def account(config: Config, token: Annotated[str, typer.Option(help="Why it runs again.")] = "", log: Log = None) -> None:
    """Account for every run."""
    from campaign.accounting.account import account as sum_up

    with _logging(log):
        sum_up(load_resolved(config), token)


@app.command()
def report(config: Config, log: Log = None) -> None:
    """Write the report and its plots."""
    from campaign.report.build import build_report

    with _logging(log):
        build_report(load_resolved(config))
