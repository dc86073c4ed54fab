"""What /metrics of vLLM 0.32 says, as captured, and what happens when it says less."""

from hypothesis import given
from hypothesis import strategies as st

from campaign.server.metrics import EngineMetrics, scrape

CAPTURED = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="smollm2-135m"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="smollm2-135m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="smollm2-135m"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="smollm2-135m"} 1.037e+06
vllm:generation_tokens_total{engine="0",model_name="smollm2-135m"} 7.0
vllm:cache_config_info{block_size="128",cache_dtype="auto",engine="0",num_gpu_blocks="364",sliding_window="None"} 1.0
process_start_time_seconds 1.79e+09
"""


def test_captured_text() -> None:
    assert scrape(CAPTURED) == EngineMetrics(3, 2, 7, 1_037_000, 364 * 128)


def test_what_vllm_says_of_layers_in_several_groups() -> None:
    """Nemotron Nano: 7,000 blocks of 1,312 tokens, which layers of Mamba take a share of."""
    told = 'vllm:cache_config_info{block_size="1312",kv_cache_size_tokens="1636761",num_gpu_blocks="7000"} 1.0\n'
    assert scrape(told).cache_tokens == 1_636_761
    assert scrape(told.replace('"1636761"', '"None"')).cache_tokens == 7000 * 1312


def test_replicas_are_summed() -> None:
    text = CAPTURED + 'vllm:num_requests_running{engine="1",model_name="smollm2-135m"} 4.0\n'
    assert scrape(text).running == 7


def test_what_is_no_number_is_passed_over() -> None:
    assert scrape('vllm:num_requests_running{engine="0"} NaN\nvllm:num_requests_waiting{engine="0"} +Inf\n') == EngineMetrics()


def test_nothing_known_counts_as_zero() -> None:
    assert scrape("") == EngineMetrics()


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert scrape(text).running >= 0
