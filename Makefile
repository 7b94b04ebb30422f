# Every target sets up what it needs: a virtual environment, and packages of the system where it may install them.

# How many lanes of tests go on at a time.
LANES  ?= 6

# Which Python to use; empty: the distribution's, else the first in PATH that will do.
PYTHON ?=
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready

# The same sources as machine code (docs/decisions/0010), in an environment of their own.
COMPILED       := .venv-compiled
COMPILED_READY := $(COMPILED)/ready
COMPILED_TESTS := tests/smtp tests/mail tests/delivery

.PHONY: help run run-directory demo test check prove simulate bench bench-failover bench-directory docs clean

help:
	@echo "make run     two servers behind HAProxy take mail for example.org on 127.0.0.1:2525"
	@echo "make run-directory   the same, configured by an LDAP directory: its master on one, its shadow on the other"
	@echo "make demo    a pair under load, a server killed, and the ledger: a minute"
	@echo "make test    the tests"
	@echo "make check   the gate: format, lint, types, arrows between the rooms, documentation"
	@echo "make prove   the tests with every campaign in its full length"
	@echo "make simulate SEEDS=n   stories of a simulated cluster that n seeds decide"
	@echo "make bench   messages per second, beside Postfix on this machine"
	@echo "make bench-failover   a pair that is struck again and again: seconds until its queues are served"
	@echo "make bench-directory   a pair configured by a directory of 100,000 people"
	@echo "make docs    the documentation, into docs/_build/html"
	@echo "make clean   remove what the other targets made, mail in run/ excepted"

$(READY): pyproject.toml requirements/constraints.txt scripts/make-venv
	@scripts/make-venv $(VENV) "$(PYTHON)"

$(COMPILED_READY): pyproject.toml requirements/constraints.txt scripts/make-venv $(shell find src -name '*.py')
	@scripts/apt-needs gcc=gcc
	@scripts/make-venv --compiled $(COMPILED) "$(PYTHON)"

run: $(READY)
	@scripts/apt-needs haproxy=haproxy
	@scripts/apt-needs --wish swaks=swaks
	@exec scripts/run-pair $(BIN)

run-directory: $(READY)
	@scripts/apt-needs haproxy=haproxy slapd=slapd
	@scripts/apt-needs --wish swaks=swaks
	@exec scripts/run-pair $(BIN) directory

demo: $(READY)
	@scripts/apt-needs haproxy=haproxy
	@exec $(BIN)/nightmail demo

test: $(READY) $(COMPILED_READY)
	@scripts/apt-needs fusermount3=fuse3 swaks=swaks smtp-source=postfix haproxy=haproxy ip=iproute2 mke2fs=e2fsprogs faketime=faketime spin=spin gcc=gcc slapd=slapd ns-slapd=389-ds-base certutil=libnss3-tools openssl=openssl
	@echo "$(words $(TESTS)) lanes of tests at a time; each is shown once it is through, the last after some twenty minutes"
	@$(MAKE) --no-print-directory --keep-going -j$(LANES) --output-sync=target $(TESTS)

# Real servers wait more than they work: the rest takes what time these leave, but for what is timed, such as deliveries.
# LANES=1 has the lanes one by one.
TIMED := cli delivery directory supervisor
TESTS := test-e2e test-faults test-timed test-others
.PHONY: $(TESTS)

test-e2e:
	$(BIN)/pytest tests/e2e
test-faults:
	$(BIN)/pytest tests/faults
test-timed:
	$(BIN)/pytest $(TIMED:%=tests/%)
	$(COMPILED)/bin/pytest $(COMPILED_TESTS)
test-others:
	nice $(BIN)/pytest $(patsubst %,--ignore=tests/%,e2e faults $(TIMED))

prove: $(READY) $(COMPILED_READY)
	@scripts/apt-needs fusermount3=fuse3 swaks=swaks smtp-source=postfix haproxy=haproxy ip=iproute2 mke2fs=e2fsprogs faketime=faketime spin=spin gcc=gcc slapd=slapd ns-slapd=389-ds-base certutil=libnss3-tools openssl=openssl
	@$(MAKE) --no-print-directory --keep-going -j$(LANES) --output-sync=target $(PROOFS)

# These wait, too, so that several go on at a time, the longest first.
PROVE  := $(BIN)/pytest --prove -o faulthandler_timeout=3600
KILLED := test_adopter test_all_killed test_balancer test_clock test_takeover
FROZEN := test_frozen test_handover test_heartbeat_cut test_kill
POWER  := test_power_loss test_power_loss_store
PROOFS := prove-ablations prove-compiled prove-faults-killed prove-faults-frozen prove-faults-power prove-faults-others \
          prove-fuzz prove-models prove-others
.PHONY: $(PROOFS)

prove-ablations:
	$(PROVE) tests/ablations
prove-faults-killed:
	$(PROVE) $(KILLED:%=tests/faults/%.py)
prove-faults-frozen:
	$(PROVE) $(FROZEN:%=tests/faults/%.py)
prove-faults-power:
	$(PROVE) $(POWER:%=tests/faults/%.py)
prove-faults-others:
	$(PROVE) tests/faults $(patsubst %,--ignore=tests/faults/%.py,$(KILLED) $(FROZEN) $(POWER))
prove-fuzz:
	$(PROVE) tests/fuzz
prove-models:
	$(PROVE) tests/models
prove-others:
	$(PROVE) $(patsubst %,--ignore=tests/%,ablations faults fuzz models)
prove-compiled:
	$(COMPILED)/bin/pytest $(COMPILED_TESTS) tests/contracts tests/fuzz tests/e2e tests/faults

SEEDS ?= 200
simulate: $(READY)
	@$(BIN)/python -m sim.campaign $(SEEDS)

check: $(READY) docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(READY)
	$(BIN)/python -m nightmail.config.reference docs/reference
	$(BIN)/sphinx-build -W -E --keep-going -q -b html docs docs/_build/html

bench: $(READY) $(COMPILED_READY)
	@scripts/apt-needs smtp-source=postfix chattr=e2fsprogs
	$(COMPILED)/bin/python -m bench --plain $(BIN)/nightmail

bench-failover: $(READY) $(COMPILED_READY)
	@scripts/apt-needs smtp-source=postfix haproxy=haproxy
	$(COMPILED)/bin/python -m bench failover

bench-directory: $(READY) $(COMPILED_READY)
	@scripts/apt-needs slapd=slapd
	$(COMPILED)/bin/python -m bench directory

clean:
	rm -rf $(VENV) $(COMPILED) build dist docs/_build
	find src -name '*.so' -delete
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
