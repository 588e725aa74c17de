"""Conditional inference with trained parts; no training here."""

from metann.inference.network import Answer, MetaNeuralNetwork, Rule

__all__ = ["Answer", "MetaNeuralNetwork", "Rule"]
