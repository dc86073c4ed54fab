"""Every placement in presets, README and docs is one that its cluster takes, by the table of its rules."""

import re

import pytest

from campaign.config import ModelConfig
from campaign.plan.placement.feasibility import diagnose_model
from campaign.site.table import load_table
from support import architectures, presets
from support.documents import FOLDER
from support.shipped import Shipped, of_page, shipped

SHIPPED = shipped()


@pytest.mark.parametrize("each", SHIPPED, ids=str)
def test_it_is_not_refused(each: Shipped) -> None:
    found = diagnose_model(each.name, each.model, each.metadata, load_table(each.config.site))
    assert [str(problem) for problem in found if not problem.warning] == []


def test_none_is_left_out() -> None:
    """Each preset, and each page that names a partition in YAML or in a sentence."""
    pages = {each.where.split(":")[0] for each in SHIPPED}
    wanted = {f"config/presets/{name}.yaml" for name in presets.names()}
    wanted |= {"config/README.md", "docs/alpine.md", "docs/from-the-guide.md"}
    assert wanted <= pages
    assert {each.name for each in SHIPPED if each.where.startswith("config/README.md")} >= {"llama-70b-three-a100"}


def test_a_block_of_another_cluster_is_planned_for_that() -> None:
    """Several nodes in one job, which Alpine's table refuses and Blanca's takes; the text near has to name the cluster."""
    placement = "{partition: blanca-curc-gpu, gpu: a100, nodes: 3, gpus_per_node: 2}"
    block = f"```yaml\nmodels: {{m: {{source: any/model, tensor_parallel: 2, pipeline_parallel: 3, placement: {placement}}}}}\n```\n"
    (config,) = of_page("page", f"On Blanca:\n\n<!-- site: blanca -->\n{block}").values()
    assert config.site == "blanca"
    found = diagnose_model("m", config.models["m"], None, load_table("blanca"))
    assert [str(problem) for problem in found if not problem.warning] == []
    with pytest.raises(AssertionError, match="names no site"):
        of_page("page", f"<!-- site: blanca -->\n{block}")
    (unmarked,) = of_page("page", block).values()
    found = diagnose_model("m", unmarked.models["m"], None, load_table(unmarked.site))
    assert any(not problem.warning for problem in found)


def test_one_node_where_the_page_says_alpine() -> None:
    assert {str(each) for each in SHIPPED if each.config.site == "alpine" and each.model.placement.nodes > 1} == set()


def test_the_refusal_that_a_page_shows_is_the_plans_own() -> None:
    text = (FOLDER / "alpine.md").read_text()
    shown = re.search(r"```\n  - (models\.big\..*?)\n```", text, re.DOTALL)
    assert shown is not None
    placement = {"partition": "aa100", "gpu": "a100-40gb", "nodes": 3, "gpus_per_node": 2}
    model = ModelConfig.model_validate({"source": "m", "tensor_parallel": 2, "pipeline_parallel": 3, "placement": placement})
    (finding,) = diagnose_model("big", model, architectures.metadata("llama-3.1-70b"), load_table("alpine"))
    assert " ".join(shown[1].split()) == str(finding)
