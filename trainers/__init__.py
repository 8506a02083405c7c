"""Training: the door, the worker, and one adapter per algorithm."""

from fai_rl.trainers.train import Run, train

__all__ = ["Run", "train"]
