"""The fields of `sampling` for each row: what the config says, with the values of the row's columns in their places."""

from collections.abc import Collection
from typing import Any

from campaign.config.row_fields import RowField, row_fields
from campaign.requests.files.row import Row
from campaign.requests.keys.key import canonical_json, has_no_order, key_json
from campaign.requests.problems import RowProblem
from campaign.requests.row_fields.values import NoValue, field_value, is_absent


class Fields:
    """The fields of a dataset. Raises RowProblem for a default that its field cannot have.

    `same`: what `of` gives for every row, where no column is asked.
    """

    def __init__(self, sampling: dict[str, Any]) -> None:
        self.sampling, self._of_rows = sampling, row_fields(sampling)
        self._defaults = {name: _default(name, field) for name, field in self._of_rows.items()}
        same = {name: value for name, value in sampling.items() if name not in self._of_rows}
        self._is_plain = canonical_json(same) == key_json(same)
        self.same = None if self._of_rows else (sampling, self._is_plain)

    def of(self, row: Row, own: Collection[str] = ()) -> tuple[dict[str, Any], bool]:
        """The fields of a row, in the order of the config, and whether their key JSON is their sorted JSON.

        Those in `own`, which the row brings itself, are not looked up. Raises RowProblem.
        """
        if self.same is not None:
            return self.same
        values = {name: self._value(name, field, row) for name, field in self._of_rows.items() if name not in own}
        fields = {name: value for name, value in {**self.sampling, **values}.items() if name not in values or value is not None}
        return fields, self._is_plain and has_no_order(values)

    def _value(self, name: str, field: RowField, row: Row) -> Any:
        value = row.values.get(field.column)
        if is_absent(value):
            return self._defaults[name]
        try:
            return field_value(name, row.as_written(value))
        except NoValue as error:
            raise RowProblem(f"sampling.{name}", f"the column {field.column!r} {error}") from None


def _default(name: str, field: RowField) -> Any:
    if is_absent(field.default):
        return None
    try:
        return field_value(name, field.default)
    except NoValue as error:
        raise RowProblem(f"sampling.{name}", f"`default` {error}") from None
