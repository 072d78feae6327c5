"""Preview environments on Kubernetes: one namespace for each pull request that wants one."""
