"""What tasks are made of: a session, follow-up messages after its commit, and trying again."""

from ibutsu_tasks.tasks.base import DatabaseTask, FollowUps
from ibutsu_tasks.tasks.policy import Policy
from ibutsu_tasks.tasks.reconciliation import reconcile

__all__ = ["DatabaseTask", "FollowUps", "Policy", "reconcile"]
