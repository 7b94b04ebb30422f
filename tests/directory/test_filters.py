"""A filter that an administrator writes is one, or is refused when the configuration is read."""

from __future__ import annotations

import pytest

from nightmail.directory.filters import check_filter


@pytest.mark.parametrize(
    "text",
    [
        "(mail=*)",
        "(!(nsAccountLock=true))",
        "(!(userAccountControl:1.2.840.113556.1.4.803:=2))",
        "(&(objectClass=user)(|(mail=*)(proxyAddresses=smtp:*))(!(cn=a\\28b\\29)))",
        "(cn:dn:caseExactMatch:=Fred Flintstone)",
        "(:=x)",
        "(uidNumber>=1000)",
        "(cn~=José)",
        "(mail=)",
    ],
)
def test_what_is_a_filter_is_taken(text: str) -> None:
    check_filter(text, "people_filter")


@pytest.mark.parametrize(
    "text",
    [
        "mail=*",
        "(mail=*",
        "(mail=*))",
        "(&(mail=*(",
        "(",
        "",
        "(mail=*)(cn=*)",
        "(&)",
        "(&(mail=*)",
        "(!(mail=*)(cn=*))",
        "(mail)",
        "((mail=*))",
        "(cn=a(b)",
        "(cn=a\\zz)",
        "(a b=c)",
        "(!" * 30 + "(cn=x)" + ")" * 30,
    ],
)
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="people_filter is no search filter; write it as in"):
        check_filter(text, "people_filter")
