"""The built-in table of known failures, by what they concern.

The first that fits an exception names it, so special ones stand before general ones.
"""

from campaign.explain.own_signatures import with_site_remedies
from campaign.explain.signature import Signature
from campaign.explain.signatures.compile import COMPILE
from campaign.explain.signatures.config import CONFIG, CONFIG_REFUSED
from campaign.explain.signatures.container import CONTAINER
from campaign.explain.signatures.device import DEVICE
from campaign.explain.signatures.fabric import FABRIC
from campaign.explain.signatures.features import FEATURES
from campaign.explain.signatures.hardware import HARDWARE
from campaign.explain.signatures.hub import HUB
from campaign.explain.signatures.install import INSTALL
from campaign.explain.signatures.memory import MEMORY
from campaign.explain.signatures.model_files import MODEL_FILES
from campaign.explain.signatures.mpi import MPI
from campaign.explain.signatures.network import NETWORK
from campaign.explain.signatures.packages import PACKAGES
from campaign.explain.signatures.process import PROCESS
from campaign.explain.signatures.quantization import QUANTIZATION
from campaign.explain.signatures.ray import RAY
from campaign.explain.signatures.shell import SHELL
from campaign.explain.signatures.slurm import SLURM
from campaign.explain.signatures.slurm_request import SLURM_REQUEST
from campaign.explain.signatures.slurm_steps import SLURM_STEPS
from campaign.explain.signatures.snakemake import SNAKEMAKE
from campaign.explain.signatures.storage import STORAGE
from campaign.explain.signatures.toolchain import TOOLCHAIN

_SECTIONS: dict[str, tuple[Signature, ...]] = {
    "Hardware and drivers": HARDWARE,
    "Slurm": SLURM_STEPS + SLURM_REQUEST + SLURM,
    "Snakemake": SNAKEMAKE,
    "Memory": MEMORY,
    "Compilers at start": TOOLCHAIN + COMPILE,
    "Quantized weights": QUANTIZATION,
    "Flags and the model's config": CONFIG + FEATURES + CONFIG_REFUSED,
    "Model files, disks and file systems": HUB + MODEL_FILES + STORAGE,
    "The engine's environment": PACKAGES + INSTALL + CONTAINER + SHELL,
    "Network": FABRIC + MPI + NETWORK,
    "Ray": RAY,
    "The device, without a reason": DEVICE,
    "Processes that ended": PROCESS,
}

SECTIONS = {heading: with_site_remedies(section) for heading, section in _SECTIONS.items()}

_LAST = frozenset(signature.name for signature in CONFIG_REFUSED)
_ALL = tuple(signature for section in SECTIONS.values() for signature in section)

SIGNATURES = (*(one for one in _ALL if one.name not in _LAST), *(one for one in _ALL if one.name in _LAST))
"""Of all sections. What stands for any refusal of the config comes last: it repeats what the model's files, the hub or the
environment are at fault for."""
