"""Python runs this first where the folder is on its path: every reading of the clock is off by CAMPAIGN_CLOCK_MS."""

import os
import time

_true_time, _true_time_ns = time.time, time.time_ns
_offset_ms = int(os.environ["CAMPAIGN_CLOCK_MS"])


def _time() -> float:
    return _true_time() + _offset_ms / 1000


def _time_ns() -> int:
    return _true_time_ns() + _offset_ms * 1_000_000


time.time, time.time_ns = _time, _time_ns
