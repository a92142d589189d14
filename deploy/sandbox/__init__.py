"""A whole stack to try an integration against: made accounts, and faults on demand."""
