"""`nightmail check` and `nightmail directory check` where a directory that is not ours lets us see nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Done, Run
from tests.directory.authority import Authority
from tests.directory.foreign_slapd import PASSWORD, READER, SUFFIX, ForeignSlapd, group, user

CONFIG = """\
[server]
name = "mx1"
hostname = "mx1.corp.example"
run_directory = "run"
[servers.mx1]
smtp = "127.0.0.1:7002"
[store]
url = "file:store"
[directory]
topology = "external"
uris = [{uris}]
suffix = "{suffix}"
bind_dn = "{reader}"
password_file = "password"
authority_file = "{authority}"
schema = "active-directory"
[tables]
directory = "tables"
"""


class Rig:
    """A directory of somebody else's, with one person, and a configuration that names it."""

    def __init__(self, place: Path, server: ForeignSlapd, authority: Authority, run: Run) -> None:
        self.server = server
        self.authority = authority
        self._place = place
        self._run = run
        (place / "tables").mkdir()
        (place / "tables" / "domains").write_text("corp.example local\nmx1.corp.example alias corp.example\n")
        (place / "tables" / "routes").write_text("corp.example discard\n")
        (place / "password").touch(mode=0o600)

    def nightmail(
        self,
        *words: str,
        uris: tuple[str, ...] = (),
        suffix: str = SUFFIX,
        password: str = PASSWORD,
        authority: str = "",
        has_tables: bool = True,
    ) -> Done:
        """What `nightmail WORDS...` says, with these settings."""
        (self._place / "password").write_text(password)
        text = CONFIG.format(
            uris=", ".join(f'"{uri}"' for uri in uris or (self.server.uri,)), suffix=suffix, reader=READER,
            authority=authority or self.authority.file,
        )  # fmt: skip
        if not has_tables:
            text = text.replace('[tables]\ndirectory = "tables"\n', 'data_directory = "data"\n')
        (self._place / "nightmail.toml").write_text(text)
        done = self._run(*words, "--config", str(self._place / "nightmail.toml"))
        said = (line for line in done.err.splitlines(keepends=True) if line.startswith("nightmail: "))
        return done._replace(err="".join(said))


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[Rig]:
    authority = Authority(tmp_path / "ca")
    with ForeignSlapd(tmp_path / "slapd", authority.issue("server")) as server:
        server.add([user("alice", "SMTP:alice@corp.example", "smtp:postmaster@corp.example")])
        yield Rig(tmp_path, server, authority, run)


def test_a_directory_that_shows_somebody_is_well(rig: Rig) -> None:
    for words in (("check",), ("directory", "check")):
        done = rig.nightmail(*words)
        assert (done.exit_code, done.err) == (0, ""), words
        assert "! " not in done.out


def test_policies_of_tables_beside_a_directory_that_contradict_the_file_are_remarked_on_once(
    rig: Rig, tmp_path: Path
) -> None:
    (tmp_path / "tables" / "policies").write_text("retry_first_s 7200\n")
    [remark] = json.loads(rig.nightmail("check", "--json").out)["remarks"]
    assert "no policy comes into force" in remark
    assert "retry_max_s (3600) is less than retry_first_s (7200)" in remark


@pytest.mark.parametrize(
    ("wrong", "reason", "word", "code"),
    [
        (
            {"suffix": "dc=wrong,dc=example"},
            "it shows no entry dc=wrong,dc=example: see suffix",
            "shows nobody",
            os.EX_CONFIG,
        ),
        ({"password": "wrong"}, "Invalid credentials", "refused", os.EX_NOPERM),
        ({"authority": "other"}, "certificate", "unreachable", os.EX_TEMPFAIL),
        (
            {"suffix": READER},
            f"it shows no person and no list below {READER}: see schema, and what the account may",
            "shows nobody",
            os.EX_CONFIG,
        ),
    ],
    ids=["suffix", "password", "authority", "nobody"],
)
def test_one_that_can_not_be_asked_is_named_with_the_reason(
    rig: Rig, tmp_path: Path, wrong: dict[str, str], reason: str, word: str, code: int
) -> None:
    if "authority" in wrong:
        wrong = {"authority": str(Authority(tmp_path / "other").file)}
    done = rig.nightmail("check", **wrong)  # type: ignore[arg-type]  # no setting here but texts
    assert done.exit_code == code
    assert "no server of the directory can be asked" in done.err
    assert f"✗ {wrong.get('suffix', SUFFIX)}\n" in done.out
    [remark] = [line for line in done.out.splitlines() if line.startswith("! ")]
    assert remark.startswith(f"! {rig.server.uri}: ")
    assert reason in remark
    done = rig.nightmail("directory", "check", **wrong)  # type: ignore[arg-type]  # as above
    assert (done.exit_code, done.out) == (code, "")
    assert reason in done.err
    done = rig.nightmail("directory", "status", **wrong)  # type: ignore[arg-type]  # as above
    assert done.exit_code == (os.EX_UNAVAILABLE if code == os.EX_TEMPFAIL else code)
    assert done.out.splitlines()[1].split("  ")[1:2] == [word]
    done = rig.nightmail("directory", "search", "(cn=alice)", **wrong)  # type: ignore[arg-type]  # as above
    assert done.exit_code == (code if word == "refused" else 0 if word == "shows nobody" else os.EX_TEMPFAIL)


def test_without_tables_nothing_is_known_of_one_that_was_never_asked(rig: Rig) -> None:
    done = rig.nightmail("check", password="wrong", has_tables=False)
    assert done.exit_code == os.EX_NOPERM
    assert "there is no last copy of it here: no mail is taken until one can be" in done.err
    assert "Invalid credentials: see bind_dn and password_file" in done.out
    assert "replica" not in done.out + done.err
    assert "init" not in done.out + done.err


def test_where_another_one_can_be_asked_there_is_a_warning(rig: Rig, tmp_path: Path) -> None:
    with ForeignSlapd(tmp_path / "empty", rig.authority.issue("empty")) as empty:
        uris = (empty.uri, rig.server.uri)
        done = rig.nightmail("check", uris=uris)
        assert (done.exit_code, done.err) == (0, "")
        assert f"! {empty.uri}: it shows no person and no list" in done.out
        assert f"judged    {rig.server.uri}" in done.out
        assert "mailboxes 2" in done.out
        facts = json.loads(rig.nightmail("check", "--json", uris=uris).out)
        assert (facts["fault"], len(facts["remarks"])) == ("", 1)
        done = rig.nightmail("directory", "check", uris=uris)
        assert done.exit_code == 0
        assert done.err.startswith(f"nightmail: {empty.uri}: it shows no person")
        assert "1 entry, nothing is wrong" in done.out


def test_two_people_with_one_address_get_mail_and_a_list_of_whom_the_schema_does_not_know_gets_none(rig: Rig) -> None:
    rig.server.add([user("other", "smtp:alice@corp.example")])
    done = rig.nightmail("directory", "check")
    assert (done.exit_code, done.err) == (0, "")
    told = f"! cn=other,{SUFFIX}: alice@corp.example is an address of cn=alice,{SUFFIX} as well: its mail goes to one "
    assert told in done.out
    rig.server.add(
        [group("crew", "crew@corp.example", READER), group("team", "team@corp.example", f"cn=alice,{SUFFIX}", READER)]
    )
    done = rig.nightmail("directory", "check")
    assert done.exit_code == os.EX_CONFIG
    assert f"! cn=crew,{SUFFIX}: {READER}, a member of it, is not known as a person or a list" in done.out
    assert f"\u2717 cn=crew,{SUFFIX}: the list crew@corp.example leads to nobody" in done.out
    assert f"cn=team,{SUFFIX}" not in done.out


def test_beside_a_directory_with_tables_what_is_to_be_added_is_a_line(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "tables" / "domains").write_text("corp.example local\n")
    [remark] = json.loads(rig.nightmail("check", "--json").out)["remarks"]
    assert "give it a line in domains, such as 'mx1.corp.example  alias DOMAIN'" in remark
