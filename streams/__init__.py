"""How reports become figures: ingest and rollup on Faust."""
