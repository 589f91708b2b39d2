"""What all tests share: hypothesis runs the same examples every time, and compiled kernels are kept between runs."""

from __future__ import annotations

import os

# Before numpy is imported: tests run side by side, and threads of small matrix products would wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "sccc", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("sccc")


@pytest.fixture(scope="session", autouse=True)
def _kernel_cache(request: pytest.FixtureRequest) -> None:
    """Keep compiled kernels in pytest's own cache: a second run is fast, and the home folder stays clean."""
    os.environ.setdefault("SCCC_CACHE", str(request.config.cache.mkdir("sccc_kernels")))
