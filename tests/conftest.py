"""How Hypothesis behaves here, whatever machine the tests run on.

Its usual deadline, 200 ms for each example, fails where a machine stands still for so long. And the examples
are the same in every run, so that what fails is what was changed; HYPOTHESIS_PROFILE=search looks for others.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

STEADY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("steady", STEADY)
settings.register_profile("search", STEADY, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
