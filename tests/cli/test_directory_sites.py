"""`nightmail directory init|reseed|backup|restore` where each site has a part (R26), on real replicas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Done, Run
from tests.directory.sites import DR, MAIN, Sites, SiteSlapd, person
from tests.directory.slapd_server import SUFFIX

from nightmail.directory.tree import item_of

Nightmail = Callable[..., Done]


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path, begun=False)


@pytest.fixture
def nightmail(sites: Sites, run: Run) -> Nightmail:
    """`nightmail directory WORDS...` on a server."""

    def command(server: SiteSlapd, *words: str) -> Done:
        done = run("directory", *words, "--config", sites.mx1.config_file, "--name", server.name)
        server.configure()
        return done

    return command


@pytest.fixture
def begun(sites: Sites, nightmail: Nightmail) -> Sites:
    """Both parts, begun by the commands, with somebody in each."""
    for server in (sites.mx1, sites.mx3):
        done = nightmail(server, "init")
        assert not done.exit_code, done.err
    return sites


def test_each_sites_master_begins_its_own_part(sites: Sites, nightmail: Nightmail, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "domains").write_text("example.org local\n")
    (tables / "routes").write_text("example.org discard\n")
    done = nightmail(sites.mx1, "init", "--tables", str(tables))
    assert f"The part {MAIN.base} is set up in" in done.out, done.err
    assert f"The part {DR.base} is set up in" in nightmail(sites.mx3, "init").out
    with sites.running():
        sites.until_everywhere(item_of("domains", "example.org", "local", MAIN.base).dn, filter_text="(nmDomain=*)")
        sites.mx3.write(person("dr"))
        sites.until_everywhere(person("dr").dn)


def test_who_does_not_answer_is_usual_on_a_first_setup(sites: Sites, nightmail: Nightmail) -> None:
    done = nightmail(sites.mx1, "init")
    [line] = [each for each in done.err.splitlines() if each.startswith("nightmail: ")]
    assert "as is usual on a first setup: " in line
    assert all(f"{each.uri}: " in line for each in sites.all[1:])
    assert line.endswith("start that one, then `nightmail directory reseed --site main` here")


def test_a_server_that_is_no_sites_master_begins_nothing(sites: Sites, nightmail: Nightmail) -> None:
    done = nightmail(sites.mx2, "init")
    assert "mx2 is the master of no site's part of the directory: mx3 of that of dr and mx1 of that of main" in done.err
    assert "; run this on mx1; the other replicas fill by themselves" in done.err
    assert "; run this on mx3; " in nightmail(sites.mx4, "init").err


def test_a_part_is_begun_once(begun: Sites, nightmail: Nightmail) -> None:
    assert "There is a directory in" in nightmail(begun.mx1, "init").out
    with begun.running():
        begun.mx1.kill()
        begun.obey(main="mx2", dr="mx3")
        begun.mx2.kill()
        assert "There is a directory in" in nightmail(begun.mx2, "init").out, "it has the part of who was before"


def test_a_part_that_another_replica_has_is_not_begun_anew(begun: Sites, nightmail: Nightmail) -> None:
    with begun.running():
        begun.mx1.kill()
        Path(begun.mx1.of("main").path, "data.mdb").unlink()
        done = nightmail(begun.mx1, "init")
        assert f"{begun.mx2.uri}: this replica has the part" in done.err
        assert "is set up in" in nightmail(begun.mx1, "init", "--force").out


def test_who_was_made_the_master_of_two_parts_begins_the_one_that_nobody_has(
    sites: Sites, nightmail: Nightmail
) -> None:
    sites.obey(main="mx3", dr="mx3")
    assert f"The part {DR.base}" in nightmail(sites.mx3, "init").out
    assert f"The part {MAIN.base}" in nightmail(sites.mx3, "init").out
    assert "There is a directory in" in nightmail(sites.mx3, "init").out
    with sites.running():
        sites.mx3.write(person("main"), person("dr"))
        sites.until_everywhere(person("main").dn, person("dr").dn)


def test_a_master_that_lost_its_disk_takes_its_part_from_who_has_the_newest(begun: Sites, nightmail: Nightmail) -> None:
    with begun.running():
        begun.mx2.kill()
        begun.mx1.write(person("main"))
        begun.until_everywhere(person("main").dn)
        begun.mx1.kill()
        begun.mx2.start()
        for database in begun.mx1.replica.databases:
            Path(database.path, "data.mdb").unlink()
        done = nightmail(begun.mx1, "reseed")
        said = done.out.splitlines()[-1]
        assert said.startswith("This replica has what ldap://"), done
        assert begun.mx2.uri in said
        begun.mx1.start()
        begun.until_everywhere(person("main").dn)


def test_one_part_begins_anew_and_the_others_stay(begun: Sites, nightmail: Nightmail) -> None:
    with begun.running():
        begun.mx2.kill()
        done = nightmail(begun.mx2, "reseed", "--site", "dr")
        assert not done.exit_code, done.err
        assert done.out.count("What it had is in") == 1
        assert f"{begun.mx2.of('dr').path}." in done.out
        assert "name one of dr, main" in nightmail(begun.mx2, "reseed", "--site", "elsewhere").err


def test_a_part_that_nobody_has_is_named_and_the_others_begin_anew(sites: Sites, nightmail: Nightmail) -> None:
    sites.mx1.begin("main")
    with sites.mx1:
        done = nightmail(sites.mx2, "reseed")
    assert done.exit_code == 75
    assert DR.base in done.err
    assert MAIN.base not in done.err
    assert Path(sites.mx2.of("main").path, "data.mdb").exists()


def test_a_backup_is_of_the_next_replica_where_the_first_is_away(
    begun: Sites, nightmail: Nightmail, tmp_path: Path
) -> None:
    file = tmp_path / "backup.ldif"
    with begun.running():
        begun.mx1.kill()
        done = nightmail(begun.mx1, "backup", str(file))
    assert not done.exit_code, done.err
    assert all(f"dn: {part.base}\n" in file.read_text() for part in (MAIN, DR))


def test_a_backup_has_all_parts_and_a_master_restores_its_own(
    begun: Sites, nightmail: Nightmail, tmp_path: Path
) -> None:
    file = str(tmp_path / "backup.ldif")
    umlaut = item_of("mailboxes", "m\u00fcller@main.example.org", "", MAIN.base)
    with begun.running():
        begun.mx1.write(person("main"), umlaut)
        begun.mx3.write(person("dr"))
        begun.until_everywhere(person("main").dn, umlaut.dn, person("dr").dn)
        assert "17 entries written to" in nightmail(begun.mx4, "backup", file).out
        begun.mx1.erase(person("main").dn, umlaut.dn)
        begun.mx3.erase(person("dr").dn)
        begun.until_everywhere()
        assert "mx2 is the master of no site's part" in nightmail(begun.mx2, "restore", file).err
        begun.mx1.kill()
        done = nightmail(begun.mx1, "restore", file)
        assert f"{MAIN.base} has 9 entries. 8 others in the file are not its own" in done.out, done.err
        assert "`reseed --site main`" in done.out
        for each in (begun.mx2, begun.mx3, begun.mx4):
            each.kill()
        begun.mx1.start()
        for each in (begun.mx2, begun.mx3, begun.mx4):
            assert not nightmail(each, "reseed", "--site", "main").exit_code
            each.start()
        begun.until_everywhere(person("main").dn, umlaut.dn)


def test_a_backup_without_the_part_is_not_restored(begun: Sites, nightmail: Nightmail, tmp_path: Path) -> None:
    file = tmp_path / "backup.ldif"
    file.write_text(f"dn: {SUFFIX}\nobjectClass: top\n\n# 1 entries, and that is all\n")
    done = nightmail(begun.mx1, "restore", str(file))
    assert f"it has nothing of {MAIN.base}" in done.err
    begun.mx1.start()
    assert begun.mx1.names("(objectClass=nmMailSite)") == {MAIN.base}
    begun.mx1.kill()
