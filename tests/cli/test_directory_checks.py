"""What is wrong in a directory is named entry by entry; what an import would do is shown before it is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Run
from tests.cli.directory_rig import SOUND, Rig, line, sound_directory
from tests.directory.slapd_server import SUFFIX

from nightmail.directory import slapd
from nightmail.directory.last_copy import COPY_NAME, LastCopy, PartCopy, write_copy

BALANCER = '[balancer]\naddress = "127.0.0.1:2500"\n[[listener]]\naddress = "127.0.0.1:7002"\n'
RELAYS = line("clients", "127.0.0.0/8", "relay")
BAD = {
    "domain": line("domains", "new.org", "local"),
    "person": line("mailboxes", "bob@exmaple.org"),
    "list": line("aliases", "list@example.org", "nobody@example.org"),
    "client": line("clients", "10.0.0.0/8", "rely"),
}
LESSER = line("aliases", "team@example.org", "alice@example.org, alcie@example.org")


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[Rig]:
    with sound_directory(tmp_path, run) as made:
        yield made


def test_a_sound_directory_is_found_to_be_so(rig: Rig) -> None:
    done = rig.directory("check")
    assert (done.exit_code, done.err) == (0, "")
    assert done.out.endswith("entries, nothing is wrong\n")


def test_every_bad_entry_is_named_whatever_its_kind(rig: Rig) -> None:
    rig.fill([*BAD.values(), LESSER])
    done = rig.directory("check")
    assert done.exit_code == os.EX_CONFIG
    assert "4 entries can't come into force, or get no mail" in done.err
    lines = done.out.splitlines()
    assert len(lines) == 5
    for bad in BAD.values():
        assert any(each.startswith(f"✗ {bad.dn}: ") for each in lines)
    assert f"! {LESSER.dn}: alcie@example.org is neither a mailbox nor an alias; add it, or mend the name" in lines
    facts = rig.facts("check")
    assert {each["entry"] for each in facts["findings"] if each["is_fatal"]} == {bad.dn for bad in BAD.values()}


def test_a_lesser_fault_is_no_failure(rig: Rig) -> None:
    rig.fill([LESSER])
    done = rig.directory("check")
    assert (done.exit_code, done.err) == (0, "")
    assert LESSER.dn in done.out


def test_two_entries_with_one_address_are_both_named(rig: Rig) -> None:
    other = line("mailboxes", "second@example.org")
    other.attributes["maillocaladdress"] = ("alice@example.org",)  # type: ignore[index]  # a dictionary, here
    rig.fill([other])
    done = rig.directory("check")
    assert done.exit_code == os.EX_CONFIG
    assert f"{other.dn}: alice@example.org is an address of {SOUND[2].dn} as well" in done.out
    assert f"{SOUND[2].dn}: alice@example.org is an address of {other.dn} as well" in done.out


def test_a_search_says_of_an_entry_that_it_is_not_understood(rig: Rig) -> None:
    bad = line("mailboxes", "eve@example.org")
    bad.attributes["mailroutingaddress"] = ("eve",)  # type: ignore[index]  # a dictionary, here
    rig.fill([bad])
    done = rig.directory("search", "(uid=eve@example.org)")
    assert done.out.startswith(
        f"# not understood: 'eve' is not an address; an address looks like alice@example.org\ndn: {bad.dn}\n"
    )
    assert "'eve' is not an address" in rig.facts("search", "(uid=eve@example.org)")[0]["fault"]
    assert not rig.directory("search", "(uid=alice*)").out.startswith("#")


def test_a_filter_that_is_none_is_named(rig: Rig) -> None:
    done = rig.directory("search", "mail=(")
    assert done.exit_code == os.EX_DATAERR
    assert done.err.startswith("nightmail: mail=(: Bad search filter")
    assert "(mailLocalAddress=alice@example.org)" in done.err


def test_a_filter_that_the_server_would_pass_over_in_silence_is_refused(rig: Rig) -> None:
    for text, reason in (
        ("(mailLocalAddress=al*)", "mailLocalAddress can't be searched by parts of its values; write a whole value, "
         "or search for (uid=al*) or (cn=al*)"),
        ("(&(objectClass=*)(!(rfc822mailmember=*@example.org)))", "rfc822mailmember can't be searched by parts"),
        ("(mailLocalAdress=a@example.org)", "there is no attribute mailLocalAdress; did you mean mailLocalAddress?"),
        ("nope>=1", "there is no attribute nope"),
    ):  # fmt: skip
        refused = rig.directory("search", text)
        assert (refused.exit_code, refused.out) == (os.EX_DATAERR, "")
        assert f"nightmail: {text}: {reason}" in refused.err
    for text in (
        "(&(mailLocalAddress=*)(uid=alice*))",
        "mailLocalAddress=alice@example.org",
        "(sn;lang-en=*)",
        "(cn=*l*)",
    ):
        assert rig.directory("search", text).exit_code == 0


def test_a_search_that_finds_nothing_says_so_and_is_no_failure(rig: Rig) -> None:
    nothing = rig.directory("search", "(uid=nobody)")
    assert nothing == (0, "", "nightmail: no entry matches (uid=nobody)\n")
    assert rig.directory("search", "(uid=nobody)", "--json") == (0, "[]\n", nothing.err)
    assert rig.directory("search", "(uid=alice*)").err == ""


def test_what_an_import_would_do_is_shown_and_not_done(rig: Rig) -> None:
    rig.fill([RELAYS, line("mailboxes", "bob@example.org")])
    before = rig.names()
    tables = rig.tables(
        domains="example.org local\n",
        routes="example.org discard\n",
        mailboxes="alice@example.org\ncarol@example.org\n",
        clients="127.0.0.0/8 deny\n",
    )
    done = rig.directory("import", tables, "--delete", "--dry-run")
    assert done.exit_code == 0
    assert done.out.splitlines() == [
        f"+ uid=carol@example.org,ou=people,{SUFFIX}",
        f"~ {RELAYS.dn}",
        f"- uid=bob@example.org,ou=people,{SUFFIX}",
        "Entries to be added: 1, changed: 1, deleted: 1; lines left: 0",
    ]
    assert rig.names() == before
    assert rig.facts("import", tables, "--dry-run") == {
        "added": [f"uid=carol@example.org,ou=people,{SUFFIX}"],
        "changed": [RELAYS.dn],
        "deleted": [],
        "left": 1,
        "elsewhere": [],
    }
    assert rig.directory("import", tables, "--delete").out == "Entries added: 1, changed: 1, deleted: 1\n"
    assert rig.directory("import", tables, "--delete", "--dry-run").out == (
        "Entries to be added: 0, changed: 0, deleted: 0; lines left: 0\n"
    )


def test_an_import_that_fails_says_how_far_it_came_and_repeating_it_does_the_rest(rig: Rig) -> None:
    in_the_way = line("mailboxes", "user5@example.org")._replace(dn=f"uid=user5@example.org,ou=people,{SUFFIX}")
    in_the_way.attributes["maillocaladdress"] = ("other@example.org",)  # type: ignore[index]  # a dictionary, here
    rig.fill([in_the_way])
    people = "".join(f"user{number}@example.org\n" for number in range(10))
    tables = rig.tables(domains="example.org local\n", routes="example.org discard\n", mailboxes=people)
    failed = rig.directory("import", tables)
    assert failed.exit_code == os.EX_DATAERR
    assert f"9 of 10 entries were written; not written: {in_the_way.dn}" in failed.err
    assert rig.directory("delete", in_the_way.dn).exit_code == 0
    assert rig.directory("import", tables).out.startswith("Entries added: 1, changed: 0, deleted: 0\n")


def test_the_balancers_rights_are_judged_by_what_the_directory_says(rig: Rig) -> None:
    rig.configure(BALANCER)
    sound = rig.nightmail("check")
    assert sound.exit_code == 0
    assert f"judged    {rig.master.uri}" in sound.out
    assert "mailboxes 1" in sound.out
    rig.fill([RELAYS])
    refused = rig.nightmail("check")
    assert refused.exit_code == os.EX_CONFIG
    assert "could send anywhere" in refused.err
    rig.configure(BALANCER + 'proxy_from = ["127.0.0.1"]\n')
    assert rig.nightmail("check").exit_code == 0


def test_a_check_tells_of_entries_that_are_wrong(rig: Rig) -> None:
    rig.fill([BAD["domain"], BAD["person"]])
    done = rig.nightmail("check")
    assert done.exit_code == 0
    assert "! 2 entries can't come into force, or get no mail: `nightmail directory check` names them" in done.out


def test_where_slapd_is_not_installed_a_check_says_so_before_the_server_does(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slapd, "_SYSTEM_PATH", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    done = rig.nightmail("check")
    assert done.exit_code == os.EX_CONFIG
    assert "slapd is not installed; install OpenLDAP's server (apt-get install slapd)" in done.err


def test_with_no_replica_a_check_judges_the_last_copy_or_says_that_nothing_was_judged(rig: Rig) -> None:
    rig.configure(BALANCER)
    rig.master.kill()
    rig.shadow.kill()
    done = rig.nightmail("check")
    assert done.exit_code == 0
    assert "! no replica of the directory answers, so that nothing in it was judged" in done.out
    (rig.place / "data").mkdir()
    content = {str(number): item for number, item in enumerate([*SOUND[:2], RELAYS])}
    write_copy(str(rig.place / "data" / COPY_NAME), LastCopy(suffix=SUFFIX, parts={SUFFIX: PartCopy(content=content)}))
    refused = rig.nightmail("check")
    assert refused.exit_code == os.EX_CONFIG
    assert "could send anywhere" in refused.err
    rig.configure("")
    judged = rig.nightmail("check").out
    assert "judged    the last copy" in judged
    assert "! the directory could not be asked; judged was the last copy of it on this disk, written " in judged


def test_a_replica_with_another_secret_is_called_that(rig: Rig) -> None:
    key = rig.place / "key"
    key.write_text("the secret of another cluster")
    said = f"{rig.master.uri}: its secret differs from the one in {key} here: copy [directory] secret_file"
    rig.shadow.kill()
    done = rig.nightmail("check")
    assert done.exit_code == os.EX_CONFIG
    assert "not all servers have the same secret" in done.err
    assert f"! {said}" in done.out
    done = rig.directory("status")
    assert (done.exit_code, said in done.out) == (os.EX_CONFIG, True)
    assert done.err == "nightmail: this server's secret differs from that of mx1\n"
    assert [each["outcome"] for each in rig.facts("status")] == ["another secret", "unreachable"]
    name = SOUND[2].dn
    change = rig.place / "change.ldif"
    change.write_text(f"dn: {name}\nchangetype: modify\nadd: mail\nmail: a@example.org\n-\n")
    writing = (("add", rig.file(LESSER)), ("modify", str(change)), ("delete", name), ("import", rig.tables()))
    copying = (("reseed", "--name", "mx2"), ("backup", str(rig.place / "backup.ldif")))
    for words in (("check",), ("search",), *writing, *copying):
        done = rig.directory(*words)
        assert said in done.err, words
        assert done.exit_code == os.EX_CONFIG, words
        assert "start it" not in done.err


def test_replicas_that_are_away_are_named_and_a_server_may_start_all_the_same(rig: Rig) -> None:
    rig.shadow.kill()
    for topology in ("single-master", "failover"):
        rig.configure(f'topology = "{topology}"')
        done = rig.nightmail("check")
        assert done.exit_code == 0
        assert f"! mx2: {rig.shadow.uri}: " in done.out
        assert f"! mx1: {rig.master.uri}" not in done.out
    assert f"! mx2 (this server): {rig.shadow.uri}: " in rig.nightmail("check", "--name", "mx2").out
    assert rig.directory("check").err == ""


def test_a_failover_with_one_replica_is_remarked_on(rig: Rig) -> None:
    rig.configure('topology = "failover"')
    assert "nobody can take its place" not in rig.nightmail("check").out
    file = rig.place / "nightmail.toml"
    file.write_text(file.read_text().replace(f'directory = "{rig.shadow.uri.removeprefix("ldap://")}"\n', ""))
    done = rig.nightmail("check")
    assert done.exit_code == 0
    assert '! topology = "failover", and only mx1 has a replica of the directory' in done.out


def test_another_suffix_than_the_replicas_is_named_as_what_may_be_wrong(rig: Rig) -> None:
    file = rig.place / "nightmail.toml"
    file.write_text(file.read_text().replace(SUFFIX, "dc=example,dc=net"))
    said = "it has no entries yet, or they were made with another suffix or another secret"
    for words in (("check",), ("directory", "status")):
        done = rig.nightmail(*words)
        assert said in done.out, words


def test_an_import_makes_the_container_that_a_directory_of_an_earlier_release_lacks(rig: Rig) -> None:
    container = f"ou=policies,{SUFFIX}"
    assert rig.directory("delete", container).exit_code == 0
    tables = rig.tables(domains="example.org local\n", routes="example.org discard\n", policies="expire_s 3600\n")
    assert rig.directory("import", tables, "--dry-run").out.splitlines()[:2] == [
        f"+ {container}",
        f"+ cn=expire_s,{container}",
    ]
    assert rig.directory("import", tables).exit_code == 0
    assert rig.directory("import", tables).out.startswith("Entries added: 0, changed: 0, deleted: 0\n")
    assert rig.directory("export", str(rig.place / "out")).exit_code == 0
    assert (rig.place / "out" / "policies").read_text() == "expire_s  3600\n"


def test_a_policy_that_contradicts_this_servers_file_is_remarked_on(rig: Rig) -> None:
    rig.fill([line("policies", "retry_first_s", "7200")])
    assert rig.directory("check").exit_code == 0
    checked = msgspec.json.decode(rig.nightmail("check", "--json").out)
    assert checked["entries"]["policies"] == 1
    [remark] = [each for each in checked["remarks"] if "no policy comes into force" in each]
    assert "retry_max_s (3600) is less than retry_first_s (7200)" in remark


def test_a_bad_policy_is_named(rig: Rig) -> None:
    bad = line("policies", "retry_first_s", "0")
    rig.fill([bad])
    done = rig.directory("check")
    assert done.exit_code == os.EX_CONFIG
    assert f"{bad.dn}: retry_first_s can't be 0; write a number above 0" in done.out
