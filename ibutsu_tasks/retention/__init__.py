"""Deleting what a retention rule of a task package says is old, with all its dependants."""

from ibutsu_tasks.retention.own_ages import OwnCutoffs

__all__ = ["OwnCutoffs"]
