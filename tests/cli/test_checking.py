"""`nightmail check` refuses a balancer through which everybody could send anywhere, and tells of what is odd."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightmail.cli.checking import Findings, check_everything
from nightmail.config.loading import load
from nightmail.errors import ConfigInvalid

CONFIG = """\
[server]
name = "mx1"
hostname = "mx1.example.net"
[servers.mx1]
smtp = "127.0.0.1:2526"
[store]
url = "file:store"
[tables]
directory = "tables"
[balancer]
address = "127.0.0.1:2525"
{listener}
"""
BARE = '[[listener]]\naddress = "127.0.0.1:2526"\n'
PROXIED = BARE + 'proxy_from = ["127.0.0.1"]\n'
ELSEWHERE = BARE + 'proxy_from = ["192.0.2.0/24"]\n'
RELAYS = "127.0.0.0/8 relay\n"


def checked(directory: Path, listener: str, clients: str, **tables: str) -> Findings:
    (directory / "tables").mkdir()
    (directory / "nightmail.toml").write_text(CONFIG.format(listener=listener))
    for name, text in {"clients": clients, **tables}.items():
        (directory / "tables" / name).write_text(text)
    return check_everything(load(str(directory / "nightmail.toml")))


@pytest.mark.parametrize("listener", [BARE, ELSEWHERE])
@pytest.mark.parametrize("clients", [RELAYS, "127.0.0.1 submit\n"])
def test_a_balancer_that_could_relay_and_need_not_say_for_whom_is_refused(
    tmp_path: Path, listener: str, clients: str
) -> None:
    with pytest.raises(ConfigInvalid, match="send anywhere") as refused:
        checked(tmp_path, listener, clients)
    assert "127.0.0.1:2526" in refused.value.place
    assert 'proxy_from = ["127.0.0.1"]' in refused.value.right


@pytest.mark.parametrize(
    ("listener", "clients"), [(PROXIED, RELAYS), ("", RELAYS), (BARE, ""), (BARE, "192.0.2.0/24 relay\n")]
)
def test_a_balancer_that_says_for_whom_or_has_no_rights_is_well(tmp_path: Path, listener: str, clients: str) -> None:
    checked(tmp_path, listener, clients)


def test_policies_that_contradict_the_file_are_remarked_on(tmp_path: Path) -> None:
    findings = checked(tmp_path, PROXIED, RELAYS, policies="retry_first_s 7200\n")
    assert findings.entries["policies"] == 1
    [remark] = [each for each in findings.remarks if "policy" in each]
    assert "retry_max_s (3600) is less than retry_first_s (7200)" in remark


POSTMASTER = [
    (
        "example.org local\n",
        "alice@example.org\n",
        "'mx1.example.net  alias DOMAIN', DOMAIN being a local one of yours",
    ),
    ("example.org local\nmx1.example.net alias example.org\n", "alice@example.org\n", "have postmaster of it"),
    ("example.org local\nmx1.example.net alias example.org\n", "postmaster@example.org\n", ""),
]


@pytest.mark.parametrize(("domains", "mailboxes", "remedy"), POSTMASTER)
def test_what_keeps_mail_from_this_hosts_postmaster_is_told(
    tmp_path: Path, domains: str, mailboxes: str, remedy: str
) -> None:
    tables = {"domains": domains, "mailboxes": mailboxes, "routes": "example.org discard\n"}
    findings = checked(tmp_path, PROXIED, RELAYS, **tables)
    assert len(findings.remarks) == bool(remedy)
    assert all(remedy in remark for remark in findings.remarks)
