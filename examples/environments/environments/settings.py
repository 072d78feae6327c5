"""What can be set, each by its variable: `ibutsu-tasks config` shows them beside all others."""

from __future__ import annotations

from pathlib import Path

from ibutsu_tasks.packages import Setting
from ibutsu_tasks.settings.urls import web_url
from ibutsu_tasks.settings.values import seconds, whole_number

KUBECONFIG = Setting(
    "environments_kubeconfig",
    ("ENVIRONMENTS_KUBECONFIG",),
    "File that says where the cluster is.",
    parse=Path,
    default_text="the service account of the pod",
)
CPU = Setting("environments_cpu", ("ENVIRONMENTS_CPU",), "What one environment may use, as cores.", "2")
MEMORY = Setting("environments_memory", ("ENVIRONMENTS_MEMORY",), "What one may use of memory.", "4Gi")
PODS = Setting("environments_pods", ("ENVIRONMENTS_PODS",), "Pods one may have.", 20, parse=whole_number(1))
GITHUB_URL = Setting(
    "environments_github_url",
    ("ENVIRONMENTS_GITHUB_URL",),
    "GitHub's REST API.",
    "https://api.github.com",
    parse=web_url,
)
GITHUB_TOKEN = Setting(
    "environments_github_token",
    ("ENVIRONMENTS_GITHUB_TOKEN",),
    "Token that may comment on pull requests and set commit statuses; unset: GitHub is told nothing.",
    secret=True,
)
HTTP_TIMEOUT_SECONDS = Setting(
    "environments_http_timeout_seconds",
    ("ENVIRONMENTS_HTTP_TIMEOUT_SECONDS",),
    "What the cluster and GitHub are given to answer.",
    10.0,
    parse=seconds,
    unit="s",
)

SETTINGS = (KUBECONFIG, CPU, MEMORY, PODS, GITHUB_URL, GITHUB_TOKEN, HTTP_TIMEOUT_SECONDS)
