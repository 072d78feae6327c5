from __future__ import annotations

import errno
import socket

import pytest
from kombu.exceptions import OperationalError
from redis import exceptions
from redis._parsers.base import BaseParser

from ibutsu_tasks.errors import BrokerUnreachableError, BusyError, RefusedError
from ibutsu_tasks.temporary_errors import POOLERS, REDIS, is_temporary, why_sqlstate, why_temporary


@pytest.mark.parametrize("code", REDIS)
def test_every_answer_of_redis_in_the_table_is_told_by_its_first_word(code: str) -> None:
    error = BaseParser.parse_error(f"{code} and what the server says of it")
    assert why_temporary(error) == REDIS[code]
    in_pipeline = exceptions.ResponseError(f"Command # 1 (SET a b) of pipeline caused error: {code} no")
    assert why_temporary(in_pipeline) == REDIS[code]


@pytest.mark.parametrize("answer", ["WRONGTYPE of a key", "ERR unknown command", "NOPERM no", "NOSCRIPT no"])
def test_what_redis_answers_to_a_wrong_question_is_not_temporary(answer: str) -> None:
    assert not is_temporary(BaseParser.parse_error(answer))


def test_a_full_server_takes_a_connection_another_time() -> None:
    assert is_temporary(BaseParser.parse_error("ERR max number of clients reached"))


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("Connection closed by server."),
        exceptions.TimeoutError("Timeout reading from socket"),
        exceptions.AuthenticationError("invalid username-password pair"),
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        BrokenPipeError(errno.EPIPE, "broken"),
        TimeoutError("timed out"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        OperationalError("Error 111 connecting"),
        BusyError("somebody else works on it"),
        BrokerUnreachableError("Redis did not answer"),
    ],
    ids=repr,
)
def test_the_network_and_ours(error: Exception) -> None:
    assert is_temporary(error)


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("no"),
        FileNotFoundError(errno.ENOENT, "none"),
        OSError(errno.ENOSPC, "our own disk"),
        ValueError(),
        exceptions.DataError("no"),
        exceptions.LockError("no"),
    ],
    ids=repr,
)
def test_faults_of_a_task_itself(error: Exception) -> None:
    assert not is_temporary(error)


def test_what_kombu_wraps_is_looked_into() -> None:
    outer = OperationalError("no")
    outer.__cause__ = exceptions.ResponseError("WRONGTYPE of a key")
    assert not is_temporary(outer)
    outer.__cause__ = BaseParser.parse_error("OOM command not allowed")
    assert why_temporary(outer) == REDIS["OOM"]


@pytest.mark.parametrize("sign", POOLERS)
def test_an_internal_error_is_temporary_in_the_words_of_a_pooler(sign: str) -> None:
    assert why_sqlstate("XX000", f"FATAL: {sign.upper()} (host 10.0.0.1)") == POOLERS[sign]
    assert why_sqlstate("XX000", "cache lookup failed for relation 1") is None
