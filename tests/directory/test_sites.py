"""Real OpenLDAP at two sites: each has a part that its master writes, and all parts are everywhere (R26)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import ldap
import pytest
from tests.directory.sites import DR, MAIN, Sites, person
from tests.directory.slapd_server import SUFFIX
from tests.e2e.waiting import until

from nightmail.admin.sources import sources_of
from nightmail.directory.accounts import account
from nightmail.directory.sessions import Access, open_session
from nightmail.directory.slapd import drop_archives, has_entries
from nightmail.directory.tree import Item, item_of
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    with Sites(tmp_path).running() as running:
        yield running


def test_r26_what_each_site_writes_is_on_all_replicas_of_both(sites: Sites) -> None:
    sites.mx1.write(person("main"))
    sites.mx3.write(person("dr"))
    sites.until_everywhere(person("main").dn, person("dr").dn)
    sites.mx1.erase(person("main").dn)
    sites.until_everywhere(person("dr").dn)


def test_another_sites_part_is_not_written_here(sites: Sites) -> None:
    for each, site in ((sites.mx1, "dr"), (sites.mx2, "dr"), (sites.mx2, "main"), (sites.mx3, "main")):
        with pytest.raises(DirectoryUnavailable, match="unwilling"):
            each.write(person(site))
    assert not sites.mx1.names()


def test_nobody_writes_what_is_above_the_parts(sites: Sites) -> None:
    reader = account("reader", SUFFIX)
    for each in sites.all:
        before = each.names("(objectClass=*)")
        with each.as_account("writer") as directory:
            with pytest.raises(ConfigInvalid, match="No such object"):
                directory.add([item_of("domains", "example.org", "local", SUFFIX)])
            with pytest.raises(ConfigInvalid, match="Insufficient access"):
                directory.add([Item(f"ou=other,{SUFFIX}", {"objectclass": ("organizationalUnit",), "ou": ("other",)})])
            with pytest.raises(ConfigInvalid, match="Insufficient access"):
                directory.replace([Item(SUFFIX, {"description": ("changed",)})])
            for change in (Item(reader, {"userpassword": ("known",)}), Item(reader, {"description": ("changed",)})):
                with pytest.raises(ConfigInvalid, match=r"Insufficient access|No such object"):
                    directory.replace([change])
            with pytest.raises(ConfigInvalid, match=r"Insufficient access|No such object"):
                directory.delete([reader])
        assert each.names("(objectClass=*)") == before


def test_who_is_not_known_gets_in_at_no_replica(sites: Sites) -> None:
    for each in (sites.mx1, sites.mx2):
        access = each.access("reader")
        for password in ("wrong", ""):
            with pytest.raises(DirectoryUnavailable):
                open_session(each.uri, Access(name=access.name, password=password, authority=access.authority))
        session = ldap.initialize(each.uri)
        session.set_option(ldap.OPT_X_TLS_CACERTFILE, access.authority)
        session.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        session.start_tls_s()
        for base in (SUFFIX, MAIN.base, account("reader", SUFFIX)):
            with pytest.raises(ldap.LDAPError):
                session.search_s(base, ldap.SCOPE_SUBTREE)
        session.unbind_s()


def test_passwords_are_seen_by_those_who_copy_them_alone(sites: Sites) -> None:
    alice = person("main")
    sites.mx1.write(alice._replace(attributes={**alice.attributes, "userpassword": ("{SSHA}x",)}))
    sites.until_everywhere(alice.dn)
    for each in sites.all:
        seen = {}
        for name in ("reader", "writer", "replicator"):
            with each.as_account(name) as directory:
                found = [*directory.search(SUFFIX, attributes=["*", "userPassword"])]
                seen[name] = {item.dn for item in found if "userPassword" in item.attributes}
                assert any(item.dn.endswith(f"ou=system,{SUFFIX}") for item in found) == (name == "replicator")
        accounts = {account(name, SUFFIX) for name in seen}
        assert seen == {"reader": set(), "writer": set(), "replicator": {alice.dn, *accounts}}


def test_all_that_there_is_is_found_in_one_search(sites: Sites) -> None:
    """More than others may see, and from both parts."""
    sites.mx1.write(*(person("main", number) for number in range(600)))
    sites.mx3.write(*(person("dr", number) for number in range(600)))
    until(lambda: len(sites.mx2.names()) == len(sites.mx4.names()) == 1200, "everybody is everywhere")


def test_r21_while_a_master_is_away_its_part_is_read_and_the_other_one_written(sites: Sites) -> None:
    sites.mx1.write(person("main"))
    sites.until_everywhere(person("main").dn)
    sites.mx1.kill()
    sites.mx3.write(person("dr"))
    sites.until_everywhere(person("main").dn, person("dr").dn)
    with pytest.raises(DirectoryUnavailable):
        sites.mx2.write(person("main", 2))
    sites.mx1.start()
    sites.until_everywhere(person("main").dn, person("dr").dn)
    sites.mx1.write(person("main", 2))
    sites.until_everywhere(person("main").dn, person("main", 2).dn, person("dr").dn)


@pytest.mark.parametrize("is_new_master_written", [True, False])
def test_r27_what_only_a_lost_site_had_is_gone_from_it_once_another_server_is_its_master(
    sites: Sites, is_new_master_written: bool
) -> None:
    kept, lost, later = (person("main", number) for number in range(3))
    sites.mx1.write(kept)
    sites.until_everywhere(kept.dn)
    sites.mx3.kill()
    sites.mx4.kill()
    sites.mx1.write(lost)
    sites.mx1.erase(kept.dn)
    sites.until_everywhere(lost.dn)
    sites.mx1.kill()
    sites.mx2.kill()
    sites.obey(main="mx3", dr="mx3")
    sites.mx3.start()
    sites.mx4.start()
    left = [kept.dn]
    if is_new_master_written:
        sites.mx3.write(later)
        left.append(later.dn)
    sites.mx1.start()
    sites.mx2.start()
    sites.until_everywhere(*left)
    sites.mx3.erase(kept.dn)
    sites.until_everywhere(*left[1:])


def test_what_comes_from_another_master_is_not_shown_while_the_one_of_now_is_away(sites: Sites) -> None:
    for each in sites.all:
        each.kill()
    sites.obey(main="mx3", dr="mx3")
    with pytest.raises(DirectoryUnavailable, match=r"nmSite=main.* has another master now"):
        sites.mx1.start()
    sites.mx3.start()
    sites.mx1.start()
    assert sites.mx1.names("(objectClass=nmMailSite)") == {DR.base, MAIN.base}


def test_what_a_former_master_had_is_kept_however_often_another_one_is_named(sites: Sites) -> None:
    alone = person("main")
    sites.mx2.kill()
    sites.obey(main="mx2", dr="mx3")  # by mistake, while the others go on
    sites.mx2.start()
    sites.mx2.write(alone)
    for number in range(3):
        for name in ("mx1", "mx3"):
            sites.mx2.kill()
            sites.obey(main=name, dr="mx3")
            [archive.rename(f"{archive}-{number}") for archive in sites.place.glob("mx2/*Z")]  # within one second
            sites.mx2.prepared()
    archives = [*sites.place.glob("mx2/entries-main.of-*")]
    assert len([archive for archive in archives if ".of-mx2." in archive.name]) == 1
    assert len(archives) == 6
    assert all((archive / "data.mdb").exists() for archive in archives)
    drop_archives(sites.mx2.of("main"), 0)
    assert [*sites.place.glob("mx2/entries-main.of-*")] == archives


def test_a_master_of_nothing_does_not_start_and_says_what_to_do(tmp_path: Path) -> None:
    sites = Sites(tmp_path, begun=False)
    sites.mx3.begin("dr")
    with pytest.raises(ConfigInvalid, match=r"nmSite=main.* has no entries.*directory init"):
        sites.mx1.start()
    with sites.mx3:
        sites.obey(main="mx3", dr="mx3")
        with pytest.raises(ConfigInvalid, match=r"nmSite=main.* has no entries"):
            sites.mx3.prepared()


def test_an_empty_shadow_begins_at_once_with_what_its_own_site_has(sites: Sites) -> None:
    sites.mx4.kill()
    shutil.rmtree(sites.mx4.of("main").path)
    sites.mx4.prepared()
    assert has_entries(sites.mx4.of("main"))
    found = sources_of(sites.mx4.config, MAIN, sites.mx4.access("replicator"))
    assert found == [sites.mx3.uri, sites.mx1.uri, sites.mx2.uri]


def test_a_shadow_is_filled_by_nobody_who_has_what_its_master_lacks(sites: Sites) -> None:
    lost = person("main")
    sites.mx3.kill()
    sites.mx4.kill()
    sites.mx1.write(lost)
    sites.until_everywhere(lost.dn)
    sites.obey(main="mx3", dr="mx3")  # mx1 and mx2 go on as before
    sites.mx3.start()
    assert sources_of(sites.mx4.config, MAIN, sites.mx4.access("replicator")) == [sites.mx3.uri]


def test_a_former_master_of_the_whole_has_only_what_the_new_one_has(tmp_path: Path) -> None:
    sites = Sites(tmp_path, begun=False)
    sites.obey_one("mx1")
    sites.mx1.begin("")
    kept, lost = (item_of("mailboxes", f"user{number}@example.org", "", SUFFIX) for number in range(2))
    with sites.mx1, sites.mx2:
        sites.mx1.write(kept)
        sites.until_everywhere(kept.dn)
        sites.mx2.kill()
        sites.mx1.write(lost)
        sites.mx1.kill()
        sites.obey_one("mx2")
        sites.mx2.start()
        sites.mx1.start()
        sites.until_everywhere(kept.dn)
        sites.mx2.erase(kept.dn)
        sites.until_everywhere()


def test_parts_are_where_their_names_say(sites: Sites) -> None:
    assert (DR.base, MAIN.base) == (f"nmSite=dr,{SUFFIX}", f"nmSite=main,{SUFFIX}")
    for each in sites.all:
        assert each.names(f"(|(entryDN={DR.base})(entryDN={MAIN.base}))") == {DR.base, MAIN.base}
