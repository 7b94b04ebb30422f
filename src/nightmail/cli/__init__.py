"""The command line: a thin face on `admin` that promises quick starts, sysexits codes and output made for people.

`main` is the entry point; `sendmail` stands apart from the rest, because programs call it by the thousand.
"""
