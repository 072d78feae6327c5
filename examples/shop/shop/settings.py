"""What can be set, each by its variable: `ibutsu-tasks config` shows them beside all others."""

from __future__ import annotations

from pathlib import Path

from ibutsu_tasks.packages import Setting
from ibutsu_tasks.settings.urls import web_url
from ibutsu_tasks.settings.values import directory, seconds

BACKUP_DIR = Setting(
    "shop_backup_dir", ("SHOP_BACKUP_DIR",), "Where backups go.", Path("backups"), parse=directory
)
REPORT_DIR = Setting(
    "shop_report_dir", ("SHOP_REPORT_DIR",), "Where reports go.", Path("reports"), parse=directory
)
CONFIG_DIR = Setting(
    "shop_config_dir", ("SHOP_CONFIG_DIR",), "The configuration that is backed up.", parse=directory
)
MAIL_DIR = Setting(
    "shop_mail_dir", ("SHOP_MAIL_DIR",), "Maildir that notifications go to.", Path("mail"), parse=directory
)
POSTGRESQL_BIN = Setting(
    "shop_postgresql_bin",
    ("SHOP_POSTGRESQL_BIN",),
    "Directory of pg_dump and its like.",
    parse=directory,
    default_text="the embedded server's, else the PATH",
)
RATES_URL = Setting(
    "shop_rates_url",
    ("SHOP_RATES_URL",),
    'Where the gold rate is: JSON with `"gold_per_gram"`.',
    parse=web_url,
)
HTTP_TIMEOUT_SECONDS = Setting(
    "shop_http_timeout_seconds",
    ("SHOP_HTTP_TIMEOUT_SECONDS",),
    "What another server is given to answer.",
    10.0,
    parse=seconds,
    unit="s",
)

SETTINGS = (
    BACKUP_DIR,
    REPORT_DIR,
    CONFIG_DIR,
    MAIL_DIR,
    POSTGRESQL_BIN,
    RATES_URL,
    HTTP_TIMEOUT_SECONDS,
)
