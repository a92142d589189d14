"""`make bench`: ingest with and without signatures, then rollup at full size."""

from __future__ import annotations

import sys

from benchmarks import ingest, rollup

if __name__ == "__main__":
    print("# ingest: from a received record to its encoded contribution, one core", flush=True)
    ingest.main()
    print("# rollup: 10,000 communes x 100 days x 20 integers, three levels, worker on core 0", flush=True)
    rollup.main()
    sys.exit(0)
