"""Rates and memory, each checked against an oracle before its figure counts."""
