"""The generated reference pages are current."""

import pytest

from campaign import docs


@pytest.mark.parametrize(("page", "made"), [(docs.CONFIG_PAGE, docs.config_page), (docs.RESULTS_PAGE, docs.results_reference)])
def test_the_page_is_current(page, made) -> None:
    assert page.read_text() == made(), "run: python -m campaign.docs"
