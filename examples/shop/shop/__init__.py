"""A shop platform's tasks: backups, prices, reports, depreciation, alerts and webhooks."""
