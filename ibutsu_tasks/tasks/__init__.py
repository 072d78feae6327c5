"""What tasks are made of: a session, follow-up messages after its commit, trying again, lost work, prunes."""

from ibutsu_tasks.broker.reconciliation import Decision, Fate, Message
from ibutsu_tasks.tasks.base import DatabaseTask, FollowUps
from ibutsu_tasks.tasks.policy import Policy
from ibutsu_tasks.tasks.pruning import prune
from ibutsu_tasks.tasks.reconciliation import reconcile

__all__ = ["DatabaseTask", "Decision", "Fate", "FollowUps", "Message", "Policy", "prune", "reconcile"]
