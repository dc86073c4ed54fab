"""The command line `campaign`: what people type, and (hidden) the phases that Snakemake's rules run."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer

import campaign
from campaign.cli import phases
from campaign.core.errors import CampaignError
from campaign.core.garbage import leave_imports_out
from campaign.core.sites import default_cluster, site_names
from campaign.core.text import did_you_mean, listed, nearest
from campaign.core.without_pandas import without_pandas

app = typer.Typer(
    name="campaign",
    help="Batch inference campaigns with vLLM: watch them, understand their failures.\n\n"
    "A campaign is run by Snakemake: snakemake --profile profiles/local",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(phases.app, name="phase", hidden=True)


CampaignName = Annotated[
    str | None, typer.Argument(help="Name of the campaign: its folder in results/. Default: the one that ran last.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"campaign {campaign.__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of the program itself."""
    if context.invoked_subcommand != "phase":  # which says so itself: most of what it needs is imported by then
        leave_imports_out()


@app.command()
def status(
    name: CampaignName = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between refreshes with --watch.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for scripts.")] = False,
) -> None:
    """Show how far the campaign is: prompts done and failed, speed, time left, servers."""
    from rich.console import Console

    from campaign.status import collect_status, render
    from campaign.status import watch as keep_showing

    config = _config_of(name)
    if as_json:
        typer.echo(orjson.dumps(collect_status(config), option=orjson.OPT_INDENT_2))
    elif watch:
        keep_showing(config, interval)
    else:
        Console().print(render(collect_status(config)))


@app.command()
def plan(
    config_file: Annotated[Path, typer.Argument(metavar="[CONFIG]", help="The campaign's YAML file.")] = Path(
        "config/config.yaml"
    ),
    site: Annotated[
        str | None,
        typer.Option(
            help=f"Where it is to run: {', '.join(site_names())}, or a cluster's TOML file. Without: where the config says, "
            f"else where --profile does, else {default_cluster()}.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="The Snakemake profile it will be run with. Default: profiles/SITE, if it is there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for scripts.")] = False,
) -> None:
    """Tell what a campaign will need, cost and be refused for. Starts no job, changes no results, works on a laptop too."""
    from rich.console import Console

    from campaign.plan.plan import preview_plan
    from campaign.plan.render import render

    preview = preview_plan(config_file, site, profile)
    if as_json:
        typer.echo(orjson.dumps(preview, option=orjson.OPT_INDENT_2))
    else:
        Console(width=80, highlight=False).print(render(preview))
    raise typer.Exit(1 if preview["refused"] else 0)


@app.command()
def explain(
    logs: Annotated[
        list[Path],
        typer.Argument(
            help="Logs of one failure: of the server, of Ray, of Slurm or of a phase; or a folder like "
            "logs/<campaign>/allocations/<model>/0; - reads standard input."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, the cause first.")] = False,
) -> None:
    """Name the cause of a failure from its logs, with a remedy and whether another start could help.

    Signatures of your own go into config/signatures.toml. Exit code: 0 a cause was found, 1 nothing was found, 2 a log (or
    config/signatures.toml) cannot be read.
    """
    from rich.console import Console

    from campaign.explain.show import as_json as plain
    from campaign.explain.show import explain_paths, render

    findings = explain_paths(logs)
    if as_json:
        typer.echo(orjson.dumps(plain(findings), option=orjson.OPT_INDENT_2))
    else:
        Console(highlight=False).print(render(findings, logs))
    raise typer.Exit(0 if findings else 1)


@app.command()
def chat(
    name: CampaignName = None,
    model: Annotated[str | None, typer.Option(help="The model to talk to, if several are served.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Sampling temperature.")] = None,
    url: Annotated[str | None, typer.Option(help="Talk to this address instead: the end of a tunnel.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="With --url: a copy of the server's key file.")
    ] = None,
) -> None:
    """Talk to a running server (snakemake ... session starts one). Streams; remembers what was said."""
    from rich.console import Console

    from campaign.cli.chat import HELP, Talk, converse, find_server, served_at

    tell = Console(stderr=True, highlight=False).print
    if url is not None:
        server = served_at(url, key_file.read_text().strip() if key_file else "")
    else:
        server = find_server(_config_with_session(name), model, tell)
    given = {"max_tokens": max_tokens, "temperature": temperature}
    talk = Talk(server, system, {key: value for key, value in given.items() if value is not None})
    tell(f"{server.model} at {server.url}; {HELP}")
    typed = sys.stdin.isatty()
    converse(talk, _typed() if typed else sys.stdin, lambda text: print(text, end="", flush=True), forgiving=typed)


def _typed() -> Iterator[str]:
    """What is typed at the prompt, until Ctrl-D; Ctrl-C drops a line. Several lines that are pasted are one."""
    import readline  # arrow keys and history for input()

    readline.parse_and_bind("set enable-bracketed-paste on")  # Python switches it off
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            print("\n(Ctrl-D or /quit ends)")
        except EOFError:
            print()
            return


@app.command()
def stop(
    name: CampaignName = None,
    model: Annotated[str | None, typer.Option(help="Only the session of this model.")] = None,
) -> None:
    """End a session: its server, and under Slurm its job."""
    from campaign.allocation.interactive import stop_sessions

    for stopped in stop_sessions(_config_with_session(name), model):
        typer.echo(f"The session of {stopped} has ended.")


@app.command()
def export(
    name: CampaignName = None,
    to: Annotated[
        str, typer.Option("--to", help="Where to: a .jsonl, .csv or .parquet file, or hf://datasets/OWNER/NAME.")
    ] = "batch_output.jsonl",
    model: Annotated[str | None, typer.Option(help="Whose answers; .jsonl needs it when several models answered.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset's.")] = None,
) -> None:
    """Write the answers to one file: OpenAI Batch output (.jsonl), a table (.csv, .parquet), a dataset of the hub.

    Exit code: 0 all rows are written, 3 those that are there are written and some are missing, 1 nothing is written.
    """
    from campaign.report.export import UNFINISHED
    from campaign.report.export import export as write

    done = write(_config_of(name), to, model, dataset)
    typer.echo(f"{done.rows:,} {'lines' if to.endswith('.jsonl') else 'rows'} in {done.where}")
    for note in done.notes:
        typer.echo(f"Note: {note}.", err=True)
    for lacking in done.unfinished:
        typer.echo(f"Unfinished: {lacking}, and none here.", err=True)
    if done.unfinished:
        raise typer.Exit(UNFINISHED)


@app.command()
def summary(name: CampaignName = None) -> None:
    """Print the closing table of a finished campaign: prompts, failures, speed, seconds per phase, where the files are."""
    from rich.console import Console

    from campaign.report.summary import summary as closing_table

    Console().print(closing_table(_config_of(name)))


def _config_of(name: str | None) -> "campaign.config.CampaignConfig":
    from campaign.config import load_resolved
    from campaign.core.paths import CampaignPaths, campaigns

    known = campaigns()
    if name is not None:
        paths = CampaignPaths(Path(name).name)
        if known and not paths.root.is_dir():
            raise CampaignError(_no_campaign(name, [one.name for one in known]))
        return load_resolved(paths.config)
    if not known:
        raise CampaignError(
            "There is no campaign in results/ here. Run this from the folder where Snakemake runs, "
            "after the first `snakemake --profile profiles/local`."
        )
    return load_resolved(known[-1].config)


def _no_campaign(name: str, known: list[str]) -> str:
    remedy = did_you_mean(nearest(name, known), f"those here: {listed(known)}")
    file = ", but a file; a name is wanted" if Path(name).is_file() else ""
    return f"There is no campaign {name} in results/{file}: {remedy}"


def _config_with_session(name: str | None) -> "campaign.config.CampaignConfig":
    """The campaign named; without a name the latest that has a session, whatever else ran since."""
    from campaign.allocation.interactive import sessions_up
    from campaign.core.paths import campaigns

    held = [paths.name for paths in reversed(campaigns()) if sessions_up(paths)]
    return _config_of(name or next(iter(held), None))


def main() -> None:
    """Entry point: errors meant for people are printed as a sentence, and set the exit code."""
    without_pandas()
    try:
        app()
    except CampaignError as error:
        print(f"campaign: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
