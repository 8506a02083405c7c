"""Scoring models that runs have saved."""
