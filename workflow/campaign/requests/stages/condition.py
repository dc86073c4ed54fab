"""`where` of a stage: an expression of the template language, over the columns of its source's answers."""

from collections.abc import Iterable
from typing import Any

from campaign.requests.templates.template import RowTemplate, TemplateProblem, check_expression


class RowCondition:
    """A compiled expression. `names`, `required`, `uses` are those of RowTemplate. Raises TemplateProblem when it is none."""

    def __init__(self, source: str) -> None:
        check_expression(source)
        self._template = RowTemplate(f"{{% if ({source}\n) %}}1{{% endif %}}")
        self.source, self.names, self.required = source, self._template.names, self._template.required
        self.uses = self._template.uses

    def missing_name(self, name: str, known: Iterable[str]) -> str:
        """What RowTemplate says of a name that no column has."""
        return self._template.missing_name(name, known)

    def is_met(self, values: dict[str, Any]) -> bool:
        """Whether a row is asked.

        A column that does not exist raises TemplateProblem, unless the expression asks for it (`is defined`, `default`). One
        that is null does not.
        """
        try:
            return self._template.render(values) == "1"
        except TemplateProblem as error:
            raise TemplateProblem(str(error).replace("the template", "`where`")) from None
