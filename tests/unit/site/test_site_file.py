"""The files of the clusters: what is wrong in one is said with its place, and nothing outside of them names a cluster."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from campaign.config import CampaignConfig, load_resolved, site_file, validate
from campaign.core.errors import ConfigError
from campaign.core.files import write_json
from campaign.core.sites import default_cluster, site_files, site_names
from campaign.explain import SIGNATURES
from campaign.site.table import gpu_type, load_table
from support.runs import REPOSITORY

PACKAGE = REPOSITORY / "workflow"
MISTAKES = {
    "date = 2026-11-26\n": ("", "date: is missing"),
    'login = "login.testbed.example"': ('logon = "x"', "hosts.logon: unknown key; did you mean `login`?"),
    'login_nodes = "^front"': ('login_nodes = "("', "hosts.login_nodes: '(' is no regular expression"),
    'gpu_qos = "day"': ('gpu_qos = "dai"', "job_defaults.gpu_qos: there is no QoS 'dai'; did you mean 'day'?"),
    'partitions = ["thin"]': (
        'partitions = ["thick"]',
        "qos.night.partitions: there is no partition 'thick'; did you mean 'thin'?",
    ),
    "gpus = { b300 = 8 }": ("gpus = { b200 = 8 }", "partitions.big.gpus: there is no GPU 'b200'; did you mean 'b300'?"),
    "cores = 192": (
        "cores = 0",
        "partitions.big.cores: 0 is not usable; input should be greater than or equal to 1 (of a node)",
    ),
    'name = "testbed"': ('name = "testbet"', "name: 'testbet'; it has to be the file's own, 'testbed'"),
    "[gpus]": ("[gpus", "cannot be read as TOML"),
}


@pytest.mark.parametrize("right", MISTAKES)
def test_a_mistake_is_told_with_its_place(right: str, testbed: Path) -> None:
    wrong, told = MISTAKES[right]
    testbed.write_text(testbed.read_text().replace(right, wrong))
    with pytest.raises(ConfigError) as caught:
        load_table("testbed")
    assert any(problem.startswith(f"{testbed}") and told in problem for problem in caught.value.problems), caught.value


def test_sites_on_offer_are_the_files_that_are_there(testbed: Path) -> None:
    assert site_names() == ["testbed", "local"]
    assert default_cluster() == "testbed"
    raw = {"campaign": "c", "models": {"m": {"source": "x"}}, "datasets": {"d": {"files": ["f"], "models": ["m"]}}}
    assert validate({**raw, "site": "testbed"}).on_slurm
    assert not validate(raw).on_slurm
    with pytest.raises(ConfigError) as caught:
        validate({**raw, "site": "tesbed"})
    assert caught.value.problems == ["site: 'tesbed' is no site that is known; did you mean 'testbed'?"]


def test_a_campaign_that_runs_keeps_the_file_it_began_with(testbed: Path, stub_config: Callable[..., CampaignConfig]) -> None:
    """An update of the checkout may bring a key that the code of a process of yesterday does not know."""
    config = stub_config(site="testbed")
    write_json(config.paths.config, config.model_dump(mode="json"))
    load_resolved(config.paths.config)
    testbed.write_text(f"a_key_of_tomorrow = 1\n{testbed.read_text()}")
    assert load_table("testbed").job_defaults.gpu_qos == "day"
    site_file.cluster.cache_clear()
    with pytest.raises(ConfigError, match="1"):
        site_file.cluster("testbed")


def test_a_default_is_the_one_that_says_so(testbed: Path) -> None:
    other = testbed.with_name("zebra.toml")
    other.write_text(testbed.read_text().replace("testbed", "zebra").replace("date =", "default = true\ndate ="))
    assert default_cluster() == "zebra"


@pytest.mark.parametrize("name", site_files())
def test_the_files_of_the_package_are_right(name: str) -> None:
    content = site_file.cluster(name)
    assert load_table(name).name == name
    assert set(content.remedies) <= {signature.name for signature in SIGNATURES}
    assert (REPOSITORY / "profiles" / name / "config.yaml").exists()


def test_one_cluster_is_the_default() -> None:
    assert [site.name for site in site_file.clusters() if site.default] == ["alpine"]


def test_a_gpu_type_is_known_at_a_site_that_does_not_list_it() -> None:
    """On one machine `placement.gpu` may be any type of which a cluster's file tells the memory."""
    known = gpu_type("h200", "local")
    assert known is not None
    assert known == load_table("alpine").gpus["h200"]
    assert gpu_type("abacus", "local") is None


def names_of_clusters() -> set[str]:
    """Words that only a cluster's own file may hold. Of partitions and QoS those that are no plain words, and Alpine's."""
    names = {"CURC", "persistence1", "Boulder", "acpu", "amem", "atesting", "amilan", "acompile"}
    for site in site_file.clusters():
        names |= {site.name, site.title, site.hosts.login}
        names |= {name for name in (*site.partitions, *site.qos) if name not in site.gpus and re.search(r"[\d_-]", name)}
    return names


@pytest.mark.parametrize(
    "path", sorted(p for kind in ("*.py", "*.smk", "*.j2", "Snakefile") for p in PACKAGE.rglob(kind)), ids=str
)
def test_no_code_names_a_cluster(path: Path) -> None:
    names = "|".join(map(re.escape, sorted(names_of_clusters())))
    assert re.findall(rf"(?i)(?<![\w-])(?:{names})(?![\w-])", path.read_text()) == []


def test_one_place_asks_whether_there_is_a_cluster() -> None:
    asking = r"\bsite\s*[!=]=|[!=]=\s*(?:LOCAL\b|[\"']local[\"'])"
    found = {path.name: lines for path in PACKAGE.rglob("*.py") if (lines := re.findall(asking, path.read_text()))}
    assert found == {"campaign.py": ["site !="]}
