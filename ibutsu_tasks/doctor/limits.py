"""How long the doctor waits. All of it together stays below ten seconds, whatever the network does."""

from __future__ import annotations

CALL_SECONDS = 1.5
"""One connect or one answer; two round trips to another continent and its TLS take half of it."""

PROBE_SECONDS = 1.0
"""A second look at a port that did not answer: does it speak TLS, does it speak Redis at all?"""

DATABASE_CONNECT_SECONDS = 2
"""The least libpq takes seriously; it covers TLS and log-in too."""

REPLY_SECONDS = 1.5
"""What workers are given to answer; a working one takes milliseconds."""

CHECK_SECONDS = 3.0
"""A check that takes longer (a name server that hangs, a peer that drips bytes) is given up."""

TOTAL_SECONDS = 8.0
"""All checks; two seconds are left for the start of the process and its end."""
