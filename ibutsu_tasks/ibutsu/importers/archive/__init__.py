"""The archives that pytest-ibutsu and `prune --archive` write."""
