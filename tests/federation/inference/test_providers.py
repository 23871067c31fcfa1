"""What computes a package: a pure rule, for no GPU is at hand where these tests run."""

import onnxruntime
import pytest

from federation.inference.providers import CPU, CUDA, providers_choose


@pytest.mark.parametrize(
    ("quantisation", "offered", "providers"),
    [
        ("fp16", (CUDA, CPU), [CUDA, CPU]),
        ("fp8", (CUDA, CPU), [CUDA, CPU]),
        ("int8-block32", (CUDA, CPU), [CPU]),
        ("mixed", (CUDA, CPU), [CPU]),
        ("fp16", (CPU,), [CPU]),
        ("fp8", ("AzureExecutionProvider", CPU), [CPU]),
    ],
)
def test_a_gpu_computes_only_what_was_made_for_one_and_only_where_the_runtime_can(quantisation, offered, providers):
    assert providers_choose(quantisation=quantisation, offered=offered) == providers


def test_this_runtime_offers_what_every_package_ends_with():
    assert CPU in onnxruntime.get_available_providers()
