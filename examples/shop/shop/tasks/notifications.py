"""Notifications, as mails in a Maildir: what fetches them from there is the mail system's."""

from __future__ import annotations

import mailbox
from email.message import EmailMessage

from celery import shared_task

from ibutsu_tasks.tasks import DatabaseTask, Policy
from shop.settings import MAIL_DIR


# A message that is carried out twice tells nobody twice.
@shared_task(
    name="shop.notifications.send",
    bind=True,
    base=DatabaseTask,
    policy=Policy(key=lambda key, *_: str(key), key_seconds=7 * 86_400),
)
def send(self: DatabaseTask, key: str, to: str, subject: str, text: str) -> str:
    """Write one mail; `key` is what it is about, and is told once."""
    mail = EmailMessage()
    mail["To"], mail["Subject"], mail["Message-ID"] = to, subject, f"<{key}@shop>"
    mail.set_content(text)
    return str(mailbox.Maildir(self.resources.settings.value(MAIL_DIR)).add(mail))
