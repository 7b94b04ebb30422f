"""Debian's Postfix as a durable relay, run from a private directory: nothing of the system's own is read or changed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.contender import Contender
from bench.processes import BenchFailed, free_port, greets, running, tail, wait_until

# As one who knows Postfix would set it up for this work: no limit that the load would meet, no lookups in DNS,
# connections to the relay host kept open and shared, and the intake not slowed down in favour of the output.
_MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log/postfix.log
maillog_file_prefixes = {home}
myhostname = bench.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink_port}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_tls_security_level = none
smtp_tls_security_level = none
default_process_limit = 120
default_destination_concurrency_limit = 50
initial_destination_concurrency = 50
smtp_connection_cache_destinations = [127.0.0.1]:{sink_port}
smtp_connection_reuse_time_limit = 3600s
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
in_flow_delay = 0
message_size_limit = 209715200
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60    1 pickup
cleanup   unix n - n -     0 cleanup
qmgr      unix n - n 300   1 qmgr
rewrite   unix - - n -     - trivial-rewrite
bounce    unix - - n -     0 bounce
defer     unix - - n -     0 bounce
trace     unix - - n -     0 bounce
verify    unix - - n -     1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -     - proxymap
smtp      unix - - n -     - smtp
relay     unix - - n -     - smtp
error     unix - - n -     - error
retry     unix - - n -     - error
discard   unix - - n -     - discard
anvil     unix - - n -     1 anvil
scache    unix - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


def version() -> str:
    """Postfix's version. Raises: BenchFailed where Postfix or its load tools are missing."""
    for tool in ("postfix", "smtp-source", "smtp-sink"):
        if shutil.which(tool) is None:
            raise BenchFailed(f"{tool} is missing: apt-get install postfix (it need not run)")
    answer = subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


@contextlib.contextmanager
def postfix(directory: Path, sink_port: int) -> Iterator[Contender]:
    """A Postfix of our own in `directory` that relays everything from loopback to `sink_port`."""
    if os.geteuid() != 0:
        raise BenchFailed("Postfix's master process starts only as root: run the bench as root")
    home = directory / "postfix"
    port = free_port()
    _lay_out(home, port, sink_port)
    log = home / "log" / "postfix.log"
    with running(
        ["/usr/lib/postfix/sbin/master", "-c", str(home / "etc"), "-s"], home / "log" / "master.log"
    ) as process:
        try:
            wait_until(lambda: greets(port), "Postfix greets", timeout_s=20)
        except BenchFailed as error:
            raise BenchFailed(f"{error}\n{tail(home / 'log' / 'master.log')}\n{tail(log)}") from error
        yield Contender("Postfix", port, process.pid, log)


def _lay_out(home: Path, port: int, sink_port: int) -> None:
    for name in ("etc", "spool", "data", "log"):
        (home / name).mkdir(parents=True, exist_ok=True)
    owner = pwd.getpwnam("postfix")
    os.chown(home / "data", owner.pw_uid, owner.pw_gid)
    (home / "etc" / "main.cf").write_text(_MAIN.format(home=home, sink_port=sink_port))
    (home / "etc" / "master.cf").write_text(_MASTER.format(port=port))
    for each in (home, *home.parents):
        if not each.stat().st_mode & 0o001:
            raise BenchFailed(f"{each} must be open to the user postfix: name another place with --directory")
    subprocess.run(["postfix", "-c", str(home / "etc"), "check"], capture_output=True, check=True)
