"""The fault campaign: seeded segments of real processes, load that knows the answer, faults, a verdict."""
