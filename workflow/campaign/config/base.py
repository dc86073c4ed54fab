"""What all sections share: strictness, names, durations."""

import re
from collections.abc import Iterator
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    field_validator,
)


class Section(BaseModel):
    """A part of the config. Unknown keys are refused, so that a misspelt one cannot be silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, about: ValidationInfo) -> Any:
        """Python takes true for 1, so that `max_model_len: yes` would be a context of one token."""
        if isinstance(value, bool) and {int, float} & set(_kinds(cls.model_fields[str(about.field_name)].annotation)):
            raise ValueError("is no number; YAML reads yes, no, on and off as true and false")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a field takes, without those inside lists and mappings; none where true and false are among them."""
    kinds = [kind for part in get_args(annotation) for kind in _kinds(part)] if _is_union(annotation) else [annotation]
    yield from () if bool in kinds else kinds


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType, Annotated)


# Names become folder names, hive partition values and Snakemake wildcards.
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100),
    Field(description="letters, digits, '.', '_' and '-', starting with a letter or digit"),
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# As `sbatch --time` takes them: [days-]hours:minutes:seconds, minutes:seconds, days-hours[:minutes]. YAML itself makes seconds
# of some, 24:00:00 and 30:00, and leaves others, 08:00:00, as texts.
_OF_SLURM = re.compile(r"(?P<d>\d+)-(?P<h>\d+)(:(?P<m>\d+)(:(?P<s>\d+))?)?|((?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)")


def parse_duration(value: Any) -> Any:
    """Seconds of "90s", "10m", "1h30m", "2d", Slurm's "1-12:00:00" or a number; pydantic refuses anything else."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        text = value.replace(" ", "")
        if re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
            return sum(float(n) * _UNITS[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)([smhd])", text))
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
        if found := _OF_SLURM.fullmatch(text):
            return sum(float(number) * _UNITS[name[0]] for name, number in found.groupdict(default="0").items())
        raise ValueError("is not a duration: write it like 90s, 10m, 8h or 1h30m")
    return value


Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=str | float),
    Field(gt=0),
    PlainSerializer(lambda seconds: seconds, return_type=float),
]
