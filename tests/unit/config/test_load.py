"""The config is refused as a whole, with key, value and remedy."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config import load_resolved, validate
from campaign.config.base import parse_duration
from campaign.config.models import OWN_FLAGS, own_flags
from campaign.config.schema import SCHEMA_FILE, as_json
from campaign.core.errors import ConfigError
from campaign.server.check.vllm_arguments import load_names


def good(**changes: Any) -> dict[str, Any]:
    return {
        "campaign": "demo",
        "models": {"small": {"source": "models/small"}},
        "datasets": {"capitals": {"files": ["a.jsonl"], "prompt": "{{ x }}", "models": ["small"]}},
        **changes,
    }


def problems_of(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(raw)
    return caught.value.problems


@pytest.mark.parametrize(
    ("dtype", "near"), [("bf16", "bfloat16"), ("fp16", "float16"), ("bfloat61", "bfloat16"), ("int4", None)]
)
def test_a_dtype_that_vllm_does_not_know(dtype: str, near: str | None) -> None:
    (problem,) = problems_of(good(models={"small": {"source": "x", "dtype": dtype}}))
    assert problem.startswith("models.small.dtype: ")
    assert problem.endswith(f"did you mean {near}?" if near else "half, float")


def test_a_port_of_ray_leaves_room_for_the_ports_after_it() -> None:
    """65500 was accepted, and the search for 100 free ports raised OverflowError on the node."""
    (problem,) = problems_of(good(models={"small": {"source": "x", "ray": {"port": 65_500}}}))
    assert problem.startswith("models.small.ray.port: 65500 is not usable; input should be less than or equal to 65436")
    assert validate(good(models={"small": {"source": "x", "ray": {"port": 65_436}}})).models["small"].ray.port == 65_436


def test_defaults_are_the_documented_ones() -> None:
    config = validate(good())
    assert config.engine == ".venv-engine"
    assert (config.inference.concurrency, config.inference.request_timeout, config.inference.drain) == ("auto", 600, 300)
    assert (config.inference.max_attempts, config.inference.max_failed_fraction) == (5, 0.02)
    assert (config.benchmark.enabled, config.benchmark.requests, config.benchmark.concurrency) == (True, 64, [1, 8, 32])
    assert config.models["small"].gpu_memory_utilization == 0.9
    assert config.datasets["capitals"].shard_rows == 1000


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"engin": "x"}, ["engin: unknown key; did you mean `engine`?"]),
        (
            {"datasets": {"capitals": {"files": ["a.csv"], "models": "small", "id": 2024, "prompt": "a", "temperature": 0}}},
            [
                "datasets.capitals.id: 2024 is not usable; YAML reads yes, no, on, off and numbers as such; write it in quotes",
                "datasets.capitals.models: 'small' is not usable; it takes a list; write [small]",
                "datasets.capitals.temperature: unknown key; it is a field of the request; write it below `sampling`",
            ],
        ),
        ({"campaign": "a b"}, ["campaign: 'a b' is not usable; letters, digits, '.', '_' and '-' only"]),
        ({"campaign": "../up"}, ["campaign: '../up' is not usable"]),
        (
            {"models": {"m": {"source": "x", "tensor_paralel": 2}}},
            ["models.m.tensor_paralel: unknown key; did you mean `tensor_parallel`?"],
        ),
        (
            {"models": {"m": {"source": "x", "enforce-eager": True, "partition": "aa100", "path": "y", "max-model-len": 8}}},
            [
                "models.m.enforce-eager: unknown key; a flag of vLLM is written below `vllm`; known here: source",
                "models.m.partition: unknown key; write it below `models.<name>.placement`",
                "models.m.path: unknown key; here it is called `source`",
                "models.m.max-model-len: unknown key; did you mean `max_model_len`?",
            ],
        ),
        (
            {"models": {"m": {"source": "x", "placement": {"gres": "gpu:l40:1", "time": "8h", "account": "a"}}}},
            [
                "models.m.placement.gres: unknown key; here it is called `gpu` and `gpus_per_node`",
                "models.m.placement.time: unknown key; here it is called `walltime`",
                "models.m.placement.account: unknown key; write it below no other key",
            ],
        ),
        (
            {"temperature": 0, "walltime": "8h", "concurrency": 8, "name": "x"},
            [
                "temperature: unknown key; it is a field of the request; write it below `datasets.<name>.sampling`",
                "walltime: unknown key; write it below `models.<name>.placement`",
                "concurrency: unknown key; write it below `inference` or below `benchmark` or below `tuning`",
                "name: unknown key; known here: campaign",
            ],
        ),
        ({"models": {"small": {}}}, ["models.small.source: is missing; give it"]),
        (
            {"models": {"small": {"source": "x", "vllm": {"--port": 1}}}},
            ["models.small.vllm: sets what the workflow sets itself: port"],
        ),
        (
            {"models": {"small": {"source": "x", "placement": {"walltime": "soon"}}}},
            ["models.small.placement.walltime: 'soon' is not a duration: write it like 90s"],
        ),
        (
            {"models": {"small": {"source": "x", "placement": "aut"}}},
            ["models.small.placement: 'aut' is not usable; it takes keys of its own: auto, partition"],
        ),
        ({"models": ["small"]}, ["models: is not usable; it takes `name: value`"]),
        ({"inference": {"max_failed_fraction": 2}}, ["inference.max_failed_fraction: 2 is not usable"]),
        ({"benchmark": {"concurrency": [4, 0]}}, ["benchmark.concurrency[1]: 0 is not usable"]),
    ],
)
def test_a_problem_names_key_value_and_remedy(change: dict[str, Any], expected: list[str]) -> None:
    found = problems_of(good(**change))
    for text in expected:
        assert any(line.startswith(text) for line in found), found


def test_an_unknown_model_of_a_dataset_is_named_with_the_nearest_known_one() -> None:
    raw = good()
    raw["datasets"]["capitals"]["models"] = ["smal", "other"]
    assert problems_of(raw) == [
        "datasets.capitals.models: there is no model 'smal'; did you mean 'small'?",
        "datasets.capitals.models: there is no model 'other'; known: small",
    ]


def with_variants(**variants: Any) -> dict[str, Any]:
    model = {
        "source": "models/small",
        "vllm": {"max-num-seqs": 64, "enforce-eager": True},
        "placement": {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1},
    }
    return good(models={"small": {**model, "variants": variants}})


def test_a_variant_is_the_model_with_some_keys_changed() -> None:
    changes = {"tensor_parallel": 2, "vllm": {"max_num_seqs": 256}, "placement": {"gpus_per_node": 2}}
    model = validate(with_variants(two=changes, any={"placement": "auto"})).models["small"]
    two = model.variant("two")
    assert (two.source, two.tensor_parallel, two.variants) == ("models/small", 2, {})
    assert two.vllm == {"max_num_seqs": 256, "enforce_eager": True}
    assert (two.placement.partition, two.placement.gpus_per_node) == ("aa100", 2)
    assert model.variant("any").placement.auto
    assert model.placement.gpus_per_node == 1


def test_what_is_wrong_with_a_variant_is_told_under_its_key() -> None:
    raw = with_variants(a={"tensor_paralel": 2}, b={"placement": {"nodes": 0}}, c={"vllm": {"port": 1}})
    assert [line.split(";")[0] for line in problems_of(raw)] == [
        "models.small.variants.a.tensor_paralel: unknown key",
        "models.small.variants.b.placement.nodes: 0 is not usable",
        "models.small.variants.c.vllm: sets what the workflow sets itself: port (chosen by the workflow)",
    ]
    (nested,) = problems_of(with_variants(a={"variants": {}}))
    assert nested.startswith("models.small.variants: a: a variant has no `variants` of its own")


def test_names_of_a_sweep_must_differ() -> None:
    raw = with_variants(big={"tensor_parallel": 2})
    raw["models"]["small-big"] = {"source": "models/other"}
    assert problems_of(raw) == ["models.small.variants.big: another model or variant is called 'small-big'; rename it"]


def test_all_problems_are_told_at_once() -> None:
    raw = good(engin="x", inference={"drain": "never"}, benchmark={"requests": 0})
    raw["datasets"]["capitals"]["sampling"] = {"stream": True}
    assert len(problems_of(raw)) == 4


@pytest.mark.parametrize(
    "dataset",
    [
        {"prompt": "x", "messages": "y"},
        {"messages": "y", "system": "z"},
        {"endpoint": "completions", "system": "s", "prompt": "x"},
        {"prompt": "x", "sampling": {"messages": []}},
    ],
)
def test_contradictions_of_a_dataset_are_refused(dataset: dict[str, Any]) -> None:
    assert problems_of(good(datasets={"d": {"files": ["a"], "models": ["small"], **dataset}}))


def test_the_saved_config_reads_back_the_same(tmp_path: Any) -> None:
    config = validate(good(inference={"request_timeout": "1h30m"}))
    path = tmp_path / "config.json"
    path.write_bytes(orjson.dumps(config.model_dump(mode="json")))
    assert load_resolved(path) == config
    assert config.inference.request_timeout == 5400


def test_no_saved_config_says_how_to_start(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="snakemake --profile profiles/local"):
        load_resolved(tmp_path / "config.json")


def test_the_exported_schema_is_current() -> None:
    assert SCHEMA_FILE.read_bytes() == as_json(), "run: python -m campaign.cli.docs"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=15,
    )
)
def test_any_config_is_accepted_or_refused_in_sentences(value: Any) -> None:
    raw = value if isinstance(value, dict) else {"campaign": value, "models": value, "datasets": value}
    try:
        validate(raw)
    except ConfigError as error:
        assert error.problems
        assert all(line and "Traceback" not in line for line in error.problems)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("90s", 90), ("10m", 600), ("8h", 28800), ("1h30m", 5400), ("2d", 172800), (5, 5), ("7", 7)],
        *[
            ("08:00:00", 28800),
            ("24:00:00", 86400),
            ("30:00", 1800),
            ("1-12:00:00", 129600),
            ("7-0", 604800),
            ("1-06:30", 109800),
        ],
    ],
)
def test_durations(text: Any, seconds: float) -> None:
    """Slurm's forms too: YAML makes seconds of 24:00:00, and left 08:00:00 a text that was refused."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("flag", "by"),
    [
        ("tensor-parallel", "tensor_parallel"),
        ("max-model", "max_model_len"),
        ("tp", "tensor_parallel"),
        ("headless", "nobody could ask"),
        ("uds", "by http"),
        ("ssl-keyfile", "by http"),
        ("config", "a file of flags"),
        ("nnodes", "placement.nodes"),
        ("data-parallel-rank", "data_parallel"),
    ],
)
def test_a_flag_that_contradicts_the_workflow_is_refused(flag: str, by: str) -> None:
    """Beginnings of a flag, too: vLLM's parser takes --tensor-parallel 4 for --tensor-parallel-size 4."""
    (problem,) = problems_of(good(models={"small": {"source": "x", "vllm": {flag: 1}}}))
    assert problem.startswith(f"models.small.vllm: sets what the workflow sets itself: {flag.replace('-', '_')} (")
    assert by in problem


def test_no_flag_of_vllm_is_taken_for_the_beginning_of_an_own_one() -> None:
    flags = {flag.replace("-", "_") for flag in load_names().flags}
    assert {name.split(" ")[0] for name in own_flags(flags)} == flags & OWN_FLAGS.keys()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"models": {"m": {"source": "x", "max_model_len": True}}}, "models.m.max_model_len"),
        ({"models": {"m": {"source": "x", "placement": {"walltime": True}}}}, "models.m.placement.walltime"),
        ({"inference": {"concurrency": True}}, "inference.concurrency"),
        ({"budget_su": True}, "budget_su"),
    ],
)
def test_a_truth_is_no_number(change: dict[str, Any], key: str) -> None:
    """`max_model_len: yes` was a context of one token."""
    assert any(line.startswith(f"{key}: True is no number; YAML reads yes") for line in problems_of(good(**change)))


def test_an_empty_account_is_none() -> None:
    assert problems_of(good(account="")) == [
        "account: '' is not usable; string should have at least 1 character (Slurm account that every job is charged to; not used "
        "locally)"
    ]


def test_a_truth_in_quotes_is_one() -> None:
    """--enforce-eager false switches it on: the parser takes the word for a model's name."""
    flags = {"enforce-eager": "false", "trust-remote-code": "True", "generation-config": "auto"}
    model = validate(good(models={"small": {"source": "x", "vllm": flags}})).models["small"]
    assert model.vllm == {"enforce_eager": False, "trust_remote_code": True, "generation_config": "auto"}


def test_variables_are_texts_that_vllm_reads() -> None:
    """int("True") fails in the server, minutes later."""
    env = {"VLLM_DISABLE_COMPILE_CACHE": True, "VLLM_USE_X": False, "OMP_NUM_THREADS": 4, "A": "b"}
    model = validate(good(models={"small": {"source": "x", "env": env}})).models["small"]
    assert model.env == {"VLLM_DISABLE_COMPILE_CACHE": "1", "VLLM_USE_X": "0", "OMP_NUM_THREADS": "4", "A": "b"}


@pytest.mark.parametrize(
    ("env", "told"), [({"A": None}, "has no value for A"), ({"VLLM_API_KEY": "k"}, "sets itself: VLLM_API_KEY")]
)
def test_a_variable_without_a_value_and_one_of_the_workflow_are_refused(env: dict[str, Any], told: str) -> None:
    (problem,) = problems_of(good(models={"small": {"source": "x", "env": env}}))
    assert problem.startswith("models.small.env: ")
    assert told in problem
