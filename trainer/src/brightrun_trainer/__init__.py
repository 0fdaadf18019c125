"""Trains one LoRA adapter from a run's folder and reports on standard output."""

import os

# Idle PyTorch threads spin by default, which costs a machine that also runs the services a third of its CPU.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
