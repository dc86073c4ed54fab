"""What Snakemake knows of the run that its documented interface does not tell (9.27): the only file that asks its internals.

The rules make one `Context(workflow)` and ask that. What of the Slurm plugin is changed stands in slurm_executor.
"""

from pathlib import Path
from typing import Any

from campaign.slurm.job_options import Profile


class Context:
    """The run of Snakemake these rules are read for."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        # That of these rules only while they are read: afterwards it is the one of whoever imports them.
        self._modifier = workflow.modifier

    @property
    def has_configfile(self) -> bool:
        """Whether --configfile was given. It stands alone: merged into the default one, the demo's datasets would leak in."""
        return bool(self._workflow.overwrite_configfiles)

    @property
    def config_files(self) -> list[Path]:
        """The files that the config was read from, those of a workflow that imports the rules too."""
        return [Path(file) for file in self._workflow.configfiles]

    @property
    def on_slurm(self) -> bool:
        """Whether jobs have a partition. A profile's own `config:` would be lost when the user gives --config."""
        return "slurm_partition" in (self._workflow.resource_settings.default_resources or ())

    @property
    def cluster(self) -> str | None:
        """The cluster that the profile names among its default resources (`site: ...`), if it does."""
        resources = self._workflow.resource_settings.default_resources or {}
        return str(resources["site"].raw) if "site" in resources else None

    @property
    def is_main(self) -> bool:
        """Whether this is Snakemake itself, and not the Snakemake of one of its jobs."""
        return bool(self._workflow.is_main_process)

    @property
    def is_job(self) -> bool:
        """Whether this is the Snakemake of a job on another node."""
        return bool(self._workflow.remote_exec)

    @property
    def is_dry(self) -> bool:
        """Whether nothing may be changed. Told by how Snakemake was told to log: `workflow.dryrun` is set only later."""
        return bool(self._workflow.output_settings.dryrun)

    @property
    def profile(self) -> Profile | None:
        """The options that a profile or the command line adds to the jobs that are submitted; None where none is."""
        if not self.on_slurm:
            return None
        known = self._workflow.resource_settings
        settings = vars(self._workflow.executor_settings) if self._workflow.executor_settings else {}
        return Profile(
            tuple(known._parsed_default_resources.args),
            {rule: tuple(asked.args) for rule, asked in known._parsed_overwrite_resources.items()},
            {rule: int(count.value) for rule, count in known._parsed_overwrite_threads.items()},
            {name: value for name, value in settings.items() if isinstance(value, (bool, int, str))},
        )

    def rule_name(self, name: str) -> str:
        """A rule's name in this run: another one where another workflow imports the rules `as` something."""
        modified: str = self._modifier.modify_rulename(name)
        return modified

    def targets(self, names: tuple[str, ...]) -> set[str]:
        """The targets Snakemake was asked for; rules of `names` by the names they have here."""
        own = {self.rule_name(name): name for name in names}
        return {own.get(target, target) for target in self._workflow.dag_settings.targets}

    @property
    def executor(self) -> Any:
        """The executor of the jobs, once there is one."""
        return self._workflow.scheduler._executor
