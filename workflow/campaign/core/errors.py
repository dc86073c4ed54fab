"""What can go wrong, as one tree.

CampaignError            every error a user is meant to read; printed as a sentence, never as a traceback
├── ConfigError          the campaign's config: one line per problem (key, value, remedy)
├── InputError           a prompt file: where (file:line), what, how to mend it
├── PlanRefused          the plan cannot work: nothing was started
├── Unreadable           a log that was named cannot be read
├── ModelUnreadable      what a model needs cannot be told from its files
├── LockHeld             another live Snakemake runs this campaign
├── ServerError          the engine could not be started or kept up
│   ├── NodeUnfit        the node itself cannot serve: the allocation has to run on another one
│   ├── MemoryShort      the host has too little memory for the model now
│   └── Stalled          an allocation got no answer in a whole run
├── ClusterError         Slurm or Ray does not do what was asked of it
│   ├── AllocationTaken  another live job holds this allocation
│   ├── BudgetReached    one more run could pass the budget
│   ├── NodeLost         a node of the allocation is gone: the allocation is given back
│   └── NothingToAsk     the answers it waits for are late: the allocation is given back until they come
├── StorageError         results cannot be written (disk full, read-only) or read
├── StateTooNew          a state file of a newer version of the workflow, which this one would lose
├── RequestsDamaged      a request shard cannot be read: it has to be rendered again
├── Incomplete           answers are missing or too many failed
│   └── SourceEnded      prompts are made of answers that will not come in this run
└── Interrupted          drained on a signal; the same command continues
    ├── WalltimeReached  drained because the allocation's time ends
    └── Preempted        drained because Slurm takes the allocation's nodes away
"""

from collections.abc import Sequence


class CampaignError(Exception):
    """A failure explained to the user. `str(error)` is what is printed."""

    exit_code = 1


class ProblemList(CampaignError):
    """Several problems found at once, so that they can be mended at once."""

    headline = "Some things have to be mended first"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join([f"{self.headline} ({len(self.problems)}):", *(f"  - {p}" for p in self.problems)]))


class ConfigError(ProblemList):
    headline = "The campaign's config cannot be used"


class InputError(ProblemList):
    headline = "The prompt files cannot be used"


class PlanRefused(ProblemList):
    headline = "The plan is refused, nothing was started"


class Unreadable(CampaignError):
    """A log that was named cannot be read."""

    exit_code = 2


class ModelUnreadable(CampaignError):
    """What a model needs cannot be told from its files."""


class LockHeld(CampaignError):
    """Another live Snakemake holds the campaign."""


class ServerError(CampaignError):
    """The engine could not be started, or did not stay up."""


class ClusterError(CampaignError):
    """Slurm or Ray does not do what was asked of it."""


class AllocationTaken(ClusterError):
    """Another live job holds the allocation: this one ends before it touches anything of it."""


class BudgetReached(ClusterError):
    """One more run could pass the campaign's budget_su."""


class NodeLost(ClusterError):
    """A node of the allocation is gone. The allocation is given back: it would be billed and idle."""


class NothingToAsk(ClusterError):
    """The answers of other models that the allocation's prompts are made of are late. It is given back for `seconds`."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


class NodeUnfit(ServerError):
    """The server cannot run on this node (its hardware or driver), and can on another one."""


class MemoryShort(ServerError):
    """The host has too little memory for one sequence of the model, with what is free now."""


class Stalled(ServerError):
    """An allocation got no answer in a whole run: it is not queued again."""


class StorageError(CampaignError):
    """The results folder cannot be written, or a file in it cannot be read."""


class StateTooNew(CampaignError):
    """A newer version of the workflow wrote a state file that cannot be made again."""


class RequestsDamaged(CampaignError):
    """A request shard is gone, cut off or not what its manifest says: waiting does not mend it."""


class Incomplete(CampaignError):
    """Some prompts have no answer yet, or more failed than the campaign allows."""


class SourceEnded(Incomplete):
    """What would answer the prompts that others are made of has ended without all of its answers."""


class Interrupted(CampaignError):
    """Stopped on request after a drain. Nothing is lost; the same command continues."""

    exit_code = 130


class WalltimeReached(Interrupted):
    """Drained because the allocation's time ends. It goes on in the next run."""


class Preempted(Interrupted):
    """Drained because Slurm takes the allocation's nodes away, for others. It goes on when Slurm gives it nodes again."""
