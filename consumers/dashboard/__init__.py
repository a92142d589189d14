"""The plain page: figures of a unit with their coverage, for officials, and the same as CSV and JSON."""
