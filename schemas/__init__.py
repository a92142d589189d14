"""The contract and its pure rules: what all stages share. Imports nothing of ours."""
