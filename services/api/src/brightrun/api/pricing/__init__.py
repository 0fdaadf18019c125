"""Prices, estimates, presets, feasibility."""
