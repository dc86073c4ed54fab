"""What the engine's tests share: the caches of the real engine, as the campaigns of one checkout share them."""

from collections.abc import Iterator

import pytest

from support import engine
from support.once import made_once


@pytest.fixture(scope="session", autouse=True)
def _one_folder_of_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """vLLM needs 5 to 8 s of a processor for what it notes there of a model's class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "RESOURCES", made_once(tmp_path_factory, "resources", lambda _: None))
        yield
