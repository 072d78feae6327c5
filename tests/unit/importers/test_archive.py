"""What an archive becomes, whole or with parts missing."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, ParsedResult, SpooledContent

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "aaaaaaaa-0000-4000-8000-000000000001"
ONE = "bbbbbbbb-0000-4000-8000-000000000001"
TWO = "cccccccc-0000-4000-8000-000000000002"


def run(**fields: Any) -> tuple[str, Any]:
    row = {"id": RUN, "metadata": {}, "source": "local", "start_time": "2026-11-21T06:00:00+00:00"}
    return f"{RUN}/run.json", row | fields


def result(folder: str = ONE, **fields: Any) -> tuple[str, Any]:
    row: dict[str, Any] = {
        "id": folder,
        "test_id": "T.t",
        "result": "passed",
        "metadata": {},
        "params": {},
        "source": "local",
    }
    row |= {"start_time": "2026-11-21T06:00:01+00:00", "duration": 0.5}
    return f"{RUN}/{folder}/result.json", row | fields


def test_rows_of_a_whole_archive(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    metadata = {"user_properties": {"a": 1}, "env": "stage", "component": None}
    got = read(
        tar(
            (RUN, None),
            run(
                duration=2.5,
                summary={"tests": "3", "failures": 1, "bad": 2},
                metadata={"project": "p"},
                env="x",
            ),
            (f"{RUN}/run.log", b"of the run"),
            (f"{RUN}/{ONE}", None),
            result(metadata=metadata, component="shop", params={"x": 1}, result="xfailed"),
            (f"{RUN}/{ONE}/shot.png", b"\x89PNG"),
        ),
        "archive",
        metadata={"team": "blue"},
    )
    assert (got.run.id, got.run.start_time) == (UUID(RUN), datetime.fromisoformat("2026-11-21T06:00:00"))
    assert (got.run.duration_seconds, got.run.env, got.run.project) == (2.5, "x", "p")
    assert got.run.data == {"project": "p", "team": "blue"}
    assert got.run.claimed_summary == {"tests": 3, "failures": 1}
    assert got.results == [
        ParsedResult(
            id=UUID(ONE),
            test_id="T.t",
            result="xfailed",
            duration_seconds=0.5,
            start_time=datetime.fromisoformat("2026-11-21T06:00:01"),
            data={"a": 1, "env": "stage", "component": None, "team": "blue", "run": RUN},
            params={"x": 1},
            source="local",
            env="stage",
            component="shop",
        )
    ]
    assert [(a.result_id, a.filename, a.content, a.content_type) for a in got.artifacts] == [
        (None, "run.log", b"of the run", "text/plain"),
        (UUID(ONE), "shot.png", b"\x89PNG", "image/png"),
    ]
    assert got.run.warnings == [
        "The file states 3 tests and holds 1; what it holds counts.",
        "The file states 1 failure and holds 0; what it holds counts.",
    ]


def test_results_come_before_their_artifacts_in_any_order(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    got = read(tar((f"{RUN}/{ONE}/a.txt", b"a"), result(TWO), result(), run()), "archive")
    assert [type(row).__name__ for row in got.rows] == ["ParsedResult", "ParsedResult", "ParsedArtifact"]


def test_a_missing_run_document_is_made_up(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    got = read(
        tar(result(start_time="2026-11-21T08:00:00Z", metadata={"project": "p"}), result(TWO)), "archive"
    )
    assert (got.run.id, got.run.start_time) == (UUID(RUN), datetime.fromisoformat("2026-11-21T06:00:01"))
    assert got.run.project == "p"
    assert got.run.warnings == ["the archive has no run.json; the run was made from its results."]


@pytest.mark.parametrize(
    "broken", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, {"error": "serialization_failed"}]
)
def test_a_broken_run_document_is_made_up(
    read: Callable[..., Any], tar: Callable[..., bytes], broken: object
) -> None:
    got = read(tar((f"{RUN}/run.json", broken), result()), "archive")
    assert got.run.start_time == datetime.fromisoformat("2026-11-21T06:00:01")
    assert got.run.warnings[0].startswith(f"{RUN}/run.json ")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b"{", "is not valid JSON"),
        (b"", "is not valid JSON"),
        (b"\xff\xfe{", "is not valid JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "is nested too deeply"),
        (["x"], "is not a JSON object"),
        ({"error": "serialization_failed", "result_id": ONE}, "could not serialise"),
        ({"test_id": "x" * 3000}, "is larger than 2,000 bytes"),
    ],
)
def test_a_broken_result_is_left_out_with_its_artifacts(
    read: Callable[..., Any], tar: Callable[..., bytes], broken: object, words: str
) -> None:
    broken_path = f"{RUN}/{ONE}/result.json"
    data = tar(run(), (broken_path, broken), (f"{RUN}/{ONE}/a.log", b"a"), result(TWO))
    limits = ImportLimits(document_bytes=2000) if "larger" in words else None
    got = read(data, "archive", limits=limits)
    assert [row.id for row in got.rows] == [UUID(TWO)]
    (warning,) = got.run.warnings
    assert broken_path in warning
    assert words in warning or "is not valid JSON" in warning


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_documents_in_other_encodings_are_read(
    read: Callable[..., Any], tar: Callable[..., bytes], encoding: str
) -> None:
    documents = [
        (path, json.dumps(document, ensure_ascii=False).encode(encoding))
        for path, document in (run(source="ü"), result(test_id="é", metadata={"a": ",\x01" * 9}))
    ]
    got = read(tar(*documents), "archive")
    assert (got.run.source, got.run.warnings) == ("ü", [])
    assert [(row.test_id, row.data["a"]) for row in got.results] == [("é", ",\x01" * 9)]


def test_missing_ids_and_times(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    got = read(tar(run(id=None, start_time="soon"), result(id="x", start_time=None)), "archive")
    assert (got.run.id, got.results[0].id) == (UUID(RUN), UUID(ONE))
    assert (got.run.start_time, got.results[0].start_time) == (None, None)
    assert len(got.run.warnings) == 3
    assert got.run.warnings[0].endswith("states no valid id; that of its folder was taken (2 in all).")


def test_a_run_whose_folder_is_another_is_named(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    got = read(tar(run(id=TWO), result()), "archive")
    assert got.run.id == UUID(TWO)
    told = f"the folder of the run is {RUN}, and run.json states the id {TWO}, which was taken"
    assert got.run.warnings == [f"{told}."]


def test_a_run_without_a_time_starts_with_its_earliest_result(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    got = read(tar(run(start_time=None), result(start_time=1795241369)), "archive")
    assert got.run.start_time == datetime.fromisoformat("2026-11-21T06:09:29")


def test_the_project_may_be_named_late(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    late = result(TWO, metadata={"project": "shop"})
    for members in ((run(), result(), late), (result(), late, run()), (result(), late)):
        assert read(tar(*members), "archive").run.project == "shop"
    named = run(metadata={"project": "first"})
    assert read(tar(result(), late, named), "archive").run.project == "first"


def test_stated_ids_go_before_folders_and_stay_apart(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    other = "dddddddd-0000-4000-8000-000000000003"
    got = read(tar(run(id=other), result(id=other), result(TWO, id=other)), "archive")
    assert got.run.id == UUID(other)
    assert [row.id for row in got.results] == [UUID(other), UUID(TWO)]
    assert {row.data["run"] for row in got.results} == {other}


def test_what_is_there_twice_is_taken_once(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    log = (f"{RUN}/{ONE}/a.log", b"a")
    got = read(tar(run(), result(), result(test_id="second"), log, log), "archive")
    assert [row.test_id for row in got.results] == ["T.t"]
    assert len(got.artifacts) == 1
    assert len(got.run.warnings) == 2
    got = read(tar(run(env="a"), result(), run(env="b")), "archive")
    assert got.run.env == "a"
    assert got.run.warnings == [f"{RUN}/run.json is there twice; the first was taken."]


def test_artifacts_before_and_behind_their_result_are_each_there_once(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    logs = [(f"{RUN}/{folder}/{name}.log", name.encode()) for folder in (ONE, TWO) for name in ("a", "b")]
    got = read(tar(logs[0], logs[2], run(), result(), logs[1], logs[3], result(TWO)), "archive")
    assert sorted((str(a.result_id), a.content) for a in got.artifacts) == [
        (folder, name) for folder in (ONE, TWO) for name in (b"a", b"b")
    ]
    results_at = {row.id: at for at, row in enumerate(got.rows) if isinstance(row, ParsedResult)}
    for at, row in enumerate(got.rows):
        assert isinstance(row, ParsedResult) or results_at[row.result_id] < at
    assert got.run.warnings == []


def test_what_does_not_belong_is_left_out_or_kept_by_name(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    got = read(
        tar(
            ("notes.txt", b"n"),
            ("._notes.txt", b"mac"),
            ("logs/a.log", b"l"),
            run(),
            result(),
            (f"{RUN}/{ONE}/deep/er/shot.PNG", b"p"),
            (f"{RUN}/{ONE}/.DS_Store", b"mac"),
            (f"{RUN}/screens/a.png", b"p"),
            (f"{RUN}/{TWO}/orphan.log", b"o"),
        ),
        "archive",
    )
    assert [(a.filename, a.content_type) for a in got.artifacts] == [("shot.PNG", "image/png")]
    told = " ".join(got.run.warnings)
    for name in ("notes.txt", "deep/er/shot.PNG", "screens/a.png", TWO):
        assert name in told
    assert "(2 in all)" in told
    assert "DS_Store" not in told


def test_leading_dots_and_long_names(read: Callable[..., Any]) -> None:
    packed = io.BytesIO()
    name = f"./{RUN}/{ONE}/{'ž' * 120}.log"
    for fmt in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", format=fmt, pax_headers={"comment": "x"}) as archive:
            for path, data in ((f"./{RUN}/{ONE}/result.json", b"{}"), (name, b"x")):
                info = tarfile.TarInfo(path)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        assert [a.filename for a in read(packed.getvalue(), "archive").artifacts] == ["ž" * 120 + ".log"]


def test_large_artifacts_are_spooled(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    got = read(tar(run(), result(), (f"{RUN}/{ONE}/big.bin", b"ab" * 1_000_000)), "archive")
    (artifact,) = got.artifacts
    assert isinstance(artifact.content, SpooledContent)
    assert b"".join(artifact.content.chunks()) == b"ab" * 1_000_000
    assert artifact.content_type == "application/octet-stream"


def test_text_that_postgresql_refuses_is_replaced(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    document = (
        b'{"test_id": "a\\u0000b", "metadata": {"k\\ud800": ["\\udfff", NaN, 1e999]}, "duration": Infinity}'
    )
    (row,) = read(tar(run(), (f"{RUN}/{ONE}/result.json", document)), "archive").results
    assert row.test_id == "a\ufffdb"
    assert row.data["k\ufffd"] == ["\ufffd", None, None]
    assert row.duration_seconds == 0.0


def test_what_no_column_takes_is_kept_and_told(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    odd = {"metadata": [1], "params": "p", "component": {"a": 1}, "source": ["s"], "branch": "main"}
    got = read(
        tar(run(summary=[3], branch=None), result(**odd), result(TWO, branch="dev", metadata={"fields": 1})),
        "archive",
        metadata={"team": "blue"},
    )
    assert got.run.data == {"team": "blue", "fields": {"summary": [3], "branch": None}}
    first, second = got.results
    assert first.data == {"team": "blue", "fields": odd, "run": RUN}
    assert (first.params, first.component, first.source) == ({}, None, None)
    assert second.data == {"team": "blue", "fields": 1, "fields_": {"branch": "dev"}, "run": RUN}
    assert got.run.warnings == [
        "run.json states summary, in a form that no column takes; it is in data.fields.",
        "run.json states branch, which no column takes; it is in data.fields (3 in all).",
        *(
            f"result {ONE} states {key}, in a form that no column takes; it is in data.fields."
            for key in ("metadata", "params", "source", "component")
        ),
    ]


def test_unknown_outcomes_are_kept_and_missing_ones_are_errors(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    got = read(tar(run(), result(result="flaky"), result(TWO, result=None)), "archive")
    assert [row.result for row in got.results] == ["flaky", "error"]
    assert len(got.run.warnings) == 2


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("FAILED", "failed"),
        ("Pass", "passed"),
        ("skip", "skipped"),
        ("xfail", "xfailed"),
        ("crashed", "error"),
    ],
)
def test_outcomes_in_other_words_are_those_of_the_database(
    read: Callable[..., Any], tar: Callable[..., bytes], word: str, status: str
) -> None:
    got = read(tar(run(), result(result=word)), "archive")
    assert ([one.result for one in got.results], got.run.warnings) == ([status], [])


@pytest.mark.parametrize(
    ("stated", "claim"),
    [
        ({"metadata": {"status": "failed"}}, 'status="failed"'),
        ({"metadata": {"user_properties": [["Outcome", "ERROR"]]}}, 'Outcome="ERROR"'),
        ({"metadata": {"passed": False}}, 'passed="False"'),
        ({"state": "failed"}, 'state="failed"'),
    ],
)
def test_a_red_word_beside_the_outcome_is_told(
    read: Callable[..., Any], tar: Callable[..., bytes], stated: dict[str, Any], claim: str
) -> None:
    def told(*members: Any, **more: Any) -> list[str]:
        return [one for one in read(tar(*members), "archive", **more).run.warnings if " has " in one]

    assert told(run(), result(**stated)) == [
        f"result {ONE} has {claim} and ended as passed, which was taken."
    ]
    assert told(run(**stated), result()) == [f"run.json has {claim} while no result is red."]
    assert told(run(**stated), result(**stated, result="failed")) == []
    assert told(run(), result(), metadata={"status": "failed"}) == []


def special(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"{RUN}/{ONE}/odd")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (("/etc/passwd", b""), "/etc/passwd is an absolute path"),
        ((f"{RUN}/../../x", b""), "leads out of the archive"),
        (("dddddddd-0000-4000-8000-000000000009/run.json", {}), "holds more than one run"),
        (special(tarfile.CHRTYPE), "odd is a device or another special file"),
        (special(tarfile.BLKTYPE), "special file"),
        (special(tarfile.FIFOTYPE), "special file"),
    ],
)
def test_hostile_members_are_refused(
    read: Callable[..., Any], tar: Callable[..., bytes], member: object, words: str
) -> None:
    with pytest.raises(InvalidImportError, match=words) as refusal:
        read(tar(run(), result(), member), "archive", filename="upload.tar.gz")
    assert str(refusal.value).startswith("upload.tar.gz")


def test_files_that_are_no_archives_are_refused(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    good = tar(run(), result())
    damaged = good[:60] + bytes([good[60] ^ 0xFF]) + good[61:]
    for data, words in (
        (b"", "is empty"),
        (b"plain", "no tar archive inside"),
        (gzip.compress(b"not a tar at all" * 100), "no tar archive inside"),
        (gzip.compress(b""), "is empty when it is unpacked"),
        (good[: len(good) // 2], "cut off"),
        (good[:-4], "cut off"),
        (damaged, "damaged"),
        (tar(("a.txt", b"")), "holds no run folder"),
        (tar((RUN, None)), "holds neither a valid run.json nor a valid result.json"),
        (tar((f"{RUN}/{ONE}/result.json", b"{")), "holds neither"),
    ):
        with pytest.raises(InvalidImportError, match=words):
            read(data, "archive")


def test_the_place_of_a_break_is_where_its_member_begins(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    raw = tar(run(), (f"{RUN}/random.bin", os.urandom(9_000)), compress=False)
    with pytest.raises(InvalidImportError, match=r"cut off at byte 1,536 of"):
        read(gzip.compress(raw)[:-5_000], "archive")


def test_bombs_meet_the_limits(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    bomb = tar(run(), result(), (f"{RUN}/{ONE}/zeros", bytes(20_000_000)))
    with pytest.raises(
        InvalidImportError, match="1,000,000 bytes, the limit IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES"
    ):
        read(bomb, "archive", limits=ImportLimits(unpacked_bytes=1_000_000))
    announced = tarfile.TarInfo(f"{RUN}/{ONE}/zeros")
    announced.size = 10**10
    with pytest.raises(InvalidImportError, match="4,294,967,296 bytes, the limit"):
        read(tar(run(), result(), announced), "archive")
    crowd = tar(run(), *[(f"{RUN}/{number}.log", b"") for number in range(100)])
    with pytest.raises(InvalidImportError, match="more than 50 members"):
        read(crowd, "archive", limits=ImportLimits(members=50))


def test_a_header_that_asks_for_memory_is_refused(read: Callable[..., Any]) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 10**9
        with pytest.raises(InvalidImportError, match="a header of 1,000,000,000 bytes"):
            read(gzip.compress(info.tobuf() + bytes(2048)), "archive")
