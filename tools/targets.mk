# What people type. Everything else is in the Makefile.
.PHONY: help deps deps-check demo test long quick check install bench clean fuzz arch emulate

help:
	@echo "make demo      the main job: a real model answers, a small one learns to think, chips agree (4 minutes; DEMO=full: 10)"
	@echo "make test      all tests; ends with 'N passed, N failed, N skipped'"
	@echo "make long      failures that need real runs, 10,000 requests among neighbours, 100 swaps; 10 minutes and more"
	@echo "make check     layers, laws, formats, clang, sanitizers, fuzzers, aarch64 under qemu"
	@echo "make quick     unit tests and conformance of the cpu chip, under a minute"
	@echo "make bench     speed beside the machine's measured peaks"
	@echo "make emulate   AVX-512 as true instructions under the emulator Bochs (tens of minutes)"
	@echo "make install   PREFIX=/usr/local DESTDIR="
	@echo "make deb       a Debian package with unit, man page and completions"
	@echo "make deps      installs the Debian packages that the above need"

deps:
	@sh tools/deps.sh build
deps-check:
	@sh tools/deps.sh build check

# The packages come first, then make starts anew: pkg-config and the OpenCL headers are looked up when make starts.
demo: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@B=$(B) DEMO=$(DEMO) sh tools/demo.sh
test: deps
	@$(MAKE) --no-print-directory -j$$(nproc) run-tests
# Tests of their own, and those that do more of the same when told to.
LONG_BIN := $(patsubst %.c,$(B)/%,$(wildcard test/long/*.c)) $(B)/test/e2e/serve_neighbours $(B)/test/e2e/serve_swap
long: deps
	@$(MAKE) --no-print-directory -j$$(nproc) run-long
run-long: all $(LONG_BIN)
	@SAMSVAR_NEIGHBOURS=10000 SAMSVAR_SWAPS=100 SAMSVAR_BIN=$(B)/samsvar TEST_TIMEOUT=7200 sh tools/run-tests.sh $(B) $(LONG_BIN)
quick: deps
	@$(MAKE) --no-print-directory -j$$(nproc) run-quick
check: deps-check
	@$(MAKE) --no-print-directory run-check

.PHONY: run-tests run-long run-quick run-check test-bins
test-bins: all $(TEST_BIN)
# Without network the tests that need the model are skipped.
run-tests: test-bins
	@sh tools/fetch-model.sh >/dev/null || true
	@SAMSVAR_BIN=$(B)/samsvar sh tools/run-tests.sh $(B) $(TEST_BIN)
run-quick: $(QUICK_BIN)
	@sh tools/run-tests.sh $(B) $(QUICK_BIN)
run-check:
	@B=$(B) sh tools/check.sh

$(B)/%.run: $(B)/%
	$<
fuzz: $(FUZZ_SRC:test/fuzz/%.c=$(B)/fuzz/%)
	@sh tools/fuzz.sh $(B) $(or $(SECONDS),30)
arch:
	@B=$(B) sh tools/arch.sh
emulate: $(B)/samsvar $(B)/test/law/train_short
	@B=$(B) sh tools/emulate.sh
# Clients from PyPI against a server; needs the network, so it is no part of `make test`.
.PHONY: clients
clients: all
	@sh tools/clients.sh $(B)
bench: all
	@$(B)/samsvar bench
# A Debian package of what `make install` installs; checked by lintian when that is there.
.PHONY: deb
deb: all
	@sh tools/deb.sh $(B)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/samsvar $(DESTDIR)$(PREFIX)/include/samsvar
	install -m 755 $(B)/samsvar $(DESTDIR)$(PREFIX)/bin/samsvar
	$(if $(PLUGINS),install -m 755 $(PLUGINS) $(DESTDIR)$(PREFIX)/lib/samsvar/)
	install -m 644 include/samsvar/* $(DESTDIR)$(PREFIX)/include/samsvar/
	install -m 644 $(B)/libsamsvar.a $(DESTDIR)$(PREFIX)/lib/
	$(if $(wildcard docs/samsvar.1),install -D -m 644 docs/samsvar.1 $(DESTDIR)$(PREFIX)/share/man/man1/samsvar.1)

clean:
	rm -rf $(B)
