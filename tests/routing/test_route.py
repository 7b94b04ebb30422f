from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ConfigInvalid, PermanentFailure
from nightmail.routing.route import Route, maildir_path, maildir_root, parse_route


def parsed(text: str) -> Route:
    return parse_route(text, "routes:1", "/etc/nightmail")


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("smtp:Relay.Example", Route("smtp", "relay.example", 25, True, destination="mx:relay.example")),
        ("smtp:relay.example:587", Route("smtp", "relay.example", 587, True, destination="mx:relay.example:587")),
        ("smtp:[127.0.0.1]:2526", Route("smtp", "127.0.0.1", 2526, destination="smtp:[127.0.0.1]:2526")),
        ("smtp:[relay.example]", Route("smtp", "relay.example", 25, destination="smtp:[relay.example]:25")),
        ("smtp:[IPv6:::1]:25", Route("smtp", "::1", 25, destination="smtp:[::1]:25")),
        ("smtp:[::1]:25", Route("smtp", "::1", 25, destination="smtp:[::1]:25")),
        ("lmtp:[127.0.0.1]:24", Route("lmtp", "127.0.0.1", 24, destination="lmtp:[127.0.0.1]:24")),
        ("lmtp:unix:/run/lmtp", Route("lmtp", path="/run/lmtp", destination="lmtp:unix:/run/lmtp")),
        (
            "lmtp:unix:run/lmtp",
            Route("lmtp", path="/etc/nightmail/run/lmtp", destination="lmtp:unix:/etc/nightmail/run/lmtp"),
        ),
        (
            "maildir:/srv/{domain}/{local_part}",
            Route("maildir", path="/srv/{domain}/{local_part}", destination="maildir"),
        ),
        ("maildir:../mail/{local_part}", Route("maildir", path="/etc/mail/{local_part}", destination="maildir")),
        ("maildir:/srv/my mail", Route("maildir", path="/srv/my mail", destination="maildir")),
        ("discard", Route("discard", destination="discard")),
        ("reject:moved: see on_ambiguous=x", Route("reject", text="moved: see on_ambiguous=x", destination="reject")),
    ],
)
def test_a_route_is_what_its_line_says(text: str, route: Route) -> None:
    assert parsed(text) == route


def test_mx_is_by_the_domain_that_mail_goes_to() -> None:
    route = parsed("mx").for_domain("example.net")
    assert route == Route("smtp", "example.net", 25, True, destination="mx:example.net")
    assert parsed("smtp:relay.example").for_domain("example.net").host == "relay.example"


@pytest.mark.parametrize(("domain", "host"), [("[192.0.2.1]", "192.0.2.1"), ("[ipv6:2001:db8::1]", "2001:db8::1")])
def test_an_address_literal_is_the_host_itself(domain: str, host: str) -> None:
    route = parsed("mx").for_domain(domain)
    assert (route.host, route.by_mx, route.destination) == (host, False, f"smtp:[{host}]:25")


def test_a_remote_route_says_what_becomes_of_an_ambiguous_message() -> None:
    assert parsed("mx").on_ambiguous == "retry"
    assert parsed("mx  on_ambiguous=hold").on_ambiguous == "hold"
    assert parsed("lmtp:[127.0.0.1]:24 on_ambiguous=hold").destination == "lmtp:[127.0.0.1]:24"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "'' is not a route"),
        ("mx:example.org", "'mx:example.org' is not a route"),
        ("smpt:[127.0.0.1]:25", "'smpt:[127.0.0.1]:25' is not a route"),
        ("smtp:", "'smtp:' names no host"),
        ("smtp:127.0.0.1:25", "'smtp:127.0.0.1:25' names no host"),
        ("smtp:::1", "'smtp:::1' names no host"),
        ("smtp:[127.0.0.1]:0", "0 is not a port"),
        ("smtp:[127.0.0.1]:65536", "65536 is not a port"),
        ("smtp:[300.0.0.1.]:x", "names no host"),
        ("smtp:[a b]:25", "'a b' is not a domain name"),
        ("lmtp:[127.0.0.1]", "names no host and port"),
        ("lmtp:unix:", "the path is missing"),
        ("maildir:", "the path is missing"),
        ("maildir:/srv/{user}", "{user} stands for nothing"),
        ("maildir:/srv/{local_part", "{ stands for nothing"),
        ("maildir:/srv/{local_part} on_ambiguous=hold", "a maildir route is never ambiguous"),
        ("mx on_ambiguous=bounce", "on_ambiguous=bounce is unknown"),
        ("discard # nothing", "'discard # nothing' is not a route"),
        ("reject:", "reject: needs a text"),
        ("reject:geschloßen", "reject: needs a text"),
    ],
)
def test_a_bad_route_is_refused_with_its_place(text: str, error: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parsed(text)
    assert caught.value.place == "routes:1"
    assert error in caught.value.wrong
    assert caught.value.right


@given(st.text(max_size=60) | st.from_regex(r"(mx|smtp|lmtp|maildir|reject|discard):?.{0,30}", fullmatch=True))
def test_any_text_is_a_route_or_refused(text: str) -> None:
    try:
        route = parsed(text)
    except ConfigInvalid:
        return
    assert route.destination or route.by_mx


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("Alice@Example.org", "/srv/example.org/alice"),
        ('"alice"@example.org', "/srv/example.org/alice"),
        ("alice@BÜCHER.example", "/srv/xn--bcher-kva.example/alice"),
        ("{domain}@example.org", "/srv/example.org/{domain}"),
        ("a..b@example.org", "/srv/example.org/a..b"),
    ],
)
def test_a_maildir_is_named_after_its_mailbox(address: str, path: str) -> None:
    assert maildir_path("/srv/{domain}/{local_part}", address) == path


@pytest.mark.parametrize(
    "address",
    ["../x@example.org", ".hidden@example.org", '"."@example.org', '"..\\/x"@example.org', '"a/b"@example.org',
     "a\0b@example.org", '""@example.org', "alice@../etc", "alice@{local_part}.org", "alice@", "a@-ü"],
)  # fmt: skip
def test_an_address_that_leads_out_of_the_maildirs_is_refused_for_good(address: str) -> None:
    with pytest.raises(PermanentFailure) as caught:
        maildir_path("/srv/{domain}/{local_part}", address)
    assert str(caught.value.reply).startswith("550 5.1.3 ")


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_no_address_whatever_leads_out_of_the_maildirs(local_part: str, domain: str) -> None:
    try:
        path = maildir_path("/srv/{domain}/{local_part}", f"{local_part}@{domain}")
    except PermanentFailure:
        return
    _, _, first, second = path.split("/")
    assert first not in {"", ".", ".."}
    assert second not in {"", ".", ".."}


@pytest.mark.parametrize(
    ("template", "root"),
    [
        ("/srv/mail/{local_part}", "/srv/mail"),
        ("/srv/mail/m-{local_part}", "/srv/mail"),
        ("/srv/{domain}/{local_part}", "/srv"),
        ("/srv/catch-all", "/srv/catch-all"),
        ("/{local_part}", "/"),
    ],
)
def test_the_root_of_maildirs_is_what_stands_before_the_first_brace(template: str, root: str) -> None:
    assert maildir_root(template) == root
