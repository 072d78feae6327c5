"""Messages that no worker can carry out: how they are recognised, set aside, shown and sent again."""
