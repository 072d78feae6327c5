"""Signs of life of worker, beat and Flower: what their own loops write down, and who reads and judges it."""

from __future__ import annotations

WEDGED = 70
"""The code a worker ends with that received nothing while messages were waiting; it is to be started anew."""
