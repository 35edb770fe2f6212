# Samsvar. Two commands on a fresh Debian 12: `make demo` runs the main job, `make test` passes the tests.
# Each installs what it needs (as root or by sudo) and builds. B=DIR builds elsewhere; CC=clang and SAN=address,undefined work
# for every target. `make help` lists the targets.
include tools/flags.mk

B      ?= build
PREFIX ?= /usr/local
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))
OPT    ?= -O3

ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null || uname -m)))
# A cross build names its libraries by PKG_CONFIG_LIBDIR and PKG_CONFIG_SYSROOT_DIR (tools/arch.sh).
PKGS       := jansson yaml-0.1 libpcre2-8 libutf8proc libcrypto
PKG_CFLAGS  = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS    = $(shell pkg-config --libs $(PKGS))

CFLAGS_ALL = -std=gnu11 -D_GNU_SOURCE $(OPT) -g -fPIC -pthread -MMD -MP -Iinclude -I. -I$(B)/gen $(BITS_FLAGS) \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) $(if $(HAVE_SQLITE),-DSV_HAVE_SQLITE) $(if $(HAVE_CURL),-DSV_HAVE_CURL) $(DEFS)
LINK       = $(CC) $(if $(SAN),-fsanitize=$(SAN)) -pthread -rdynamic
LIBS       = $(PKG_LIBS) -lm -ldl

FLOORS   := base num op format text chip run model infer train rl
# The server needs libmicrohttpd; the cross build (tools/arch.sh), which has no program, does without.
HAVE_HTTP := $(shell pkg-config --exists libmicrohttpd && echo yes)
ifneq ($(HAVE_HTTP),)
  PKGS   += libmicrohttpd
  FLOORS += http serve
endif
# `samsvar pull` needs libcurl; only the program is linked with it.
HAVE_CURL := $(shell pkg-config --exists libcurl && echo yes)
CURL_LIBS := $(if $(HAVE_CURL),$(shell pkg-config --libs libcurl))
# The run log's SQLite file; without it there is log.jsonl.
HAVE_SQLITE := $(shell pkg-config --exists sqlite3 && echo yes)
ifneq ($(HAVE_SQLITE),)
  PKGS   += sqlite3
endif
SRC      := $(foreach d,$(FLOORS),$(wildcard $(d)/*.c)) $(wildcard chips/cpu/*.c chips/ref/*.c chips/null/*.c chips/odd/*.c)
ifeq ($(ARCH),aarch64)
  SRC := $(filter-out %/isa_avx2.c %/isa_avx512.c %/isa_avx512emu.c,$(SRC))
else
  SRC := $(filter-out %/isa_neon.c %/isa_neondot.c,$(SRC))
endif
CLI_SRC  := $(wildcard cli/*.c)
OBJ      := $(SRC:%.c=$(B)/%.o)
CLI_OBJ  := $(CLI_SRC:%.c=$(B)/%.o)
# Test builds can make files and allocations fail, and have the AVX-512 texts over emulated lanes (not
# under a sanitizer: that one file would take minutes).
TEST_DEFS := -DSV_FAULTS $(if $(SAN),,-DSV_CPU_EMU512)
TEST_OBJ := $(patsubst %,$(B)/t/%.o,$(basename $(filter base/% train/% rl/% chips/cpu/cpu.c chips/cpu/isa_avx512emu.c,$(SRC)))) \
            $(patsubst %,$(B)/%.o,$(basename $(filter-out base/% train/% rl/% chips/cpu/cpu.c chips/cpu/isa_avx512emu.c,$(SRC))))

TEST_FOLDERS := unit op grad law golden e2e fault
TEST_SRC := $(foreach d,$(TEST_FOLDERS),$(wildcard test/$(d)/*.c))
TEST_BIN := $(TEST_SRC:%.c=$(B)/%)
QUICK_BIN := $(filter $(B)/test/unit/% $(B)/test/op/conform_cpu,$(TEST_BIN))
FUZZ_SRC := $(wildcard test/fuzz/*.c)

# OpenCL is a plug-in: without its loader's headers everything else builds.
HAVE_OPENCL := $(if $(filter aarch64,$(ARCH)),,$(wildcard /usr/include/CL/cl.h))
OCL_SRC  := $(wildcard chips/opencl/*.c)
OCL_TEXT := $(wildcard chips/opencl/kernels/*.cl) num/canon.inc num/halve.h
PLUGINS  := $(if $(HAVE_OPENCL),$(B)/samsvar-chip-opencl.so)

# One short line per file; V=1 shows the commands.
Q   := $(if $(V),,@)
say  = @$(if $(or $(V),$(findstring s,$(firstword -$(MAKEFLAGS)))),:,printf '%-5s%s\n' $(1) $(2))

.PHONY: all
all: $(B)/samsvar $(PLUGINS)

# Kernel texts are unrolled tiles: checks of undefined behaviour in them, but for the scalar one, would take minutes to build.
isa_flags = $(if $(filter %/isa_neondot.o,$(1)),$(ISA_neondot))$(if $(filter %/isa_avx2.o,$(1)),$(ISA_avx2))$(if $(filter %/isa_avx512.o,$(1)),$(ISA_avx512))$(if $(filter %/isa_avx512emu.o,$(1)),$(ISA_avx2) -O1 -Wno-psabi)$(if $(and $(SAN),$(filter %/isa_avx2.o %/isa_avx512.o,$(1))), -fno-sanitize=undefined)
warnings  = $(if $(findstring chips/,$(1)),$(CHIP_WARN_FLAGS),$(WARN_FLAGS)) -Werror

$(B)/%.o: %.c tools/flags.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) $(call warnings,$<) $(PKG_CFLAGS) $(call isa_flags,$@) -c $< -o $@
$(B)/t/%.o: %.c tools/flags.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) $(TEST_DEFS) $(call warnings,$<) $(PKG_CFLAGS) $(call isa_flags,$@) -c $< -o $@
$(B)/libsamsvar.a: $(OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
$(B)/libsamsvar-test.a: $(TEST_OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
$(B)/samsvar: $(CLI_OBJ) $(B)/libsamsvar.a
	$(call say,LINK,$@)
	$(Q)$(LINK) $^ $(LIBS) $(CURL_LIBS) -ledit -o $@

PAGE_TEXT := serve/page/page.html serve/page/page.css serve/page/page.js
$(B)/gen/serve_page.inc: $(PAGE_TEXT) tools/embed.sh
	@mkdir -p $(@D)
	$(Q)sh tools/embed.sh $@ $(PAGE_TEXT)
$(B)/serve/page.o: $(B)/gen/serve_page.inc

DEMO_TEXT := $(foreach r,chain100-sft chain100-rl countdown3-sft countdown3-rl,recipes/$(r).yaml)
$(B)/gen/cli_demo.inc: $(DEMO_TEXT) tools/embed.sh
	@mkdir -p $(@D)
	$(Q)sh tools/embed.sh $@ $(DEMO_TEXT)
$(B)/cli/demo_act.o: $(B)/gen/cli_demo.inc

$(B)/gen/opencl_kernels.inc: $(OCL_TEXT) tools/embed.sh
	@mkdir -p $(@D)
	$(Q)sh tools/embed.sh $@ $(OCL_TEXT)
$(B)/chips/opencl/program.o: $(B)/gen/opencl_kernels.inc
$(B)/samsvar-chip-opencl.so: $(OCL_SRC:%.c=$(B)/%.o)
	$(call say,LINK,$@)
	$(Q)$(LINK) -shared $^ -lOpenCL -o $@

$(B)/test/%: test/%.c $(B)/libsamsvar-test.a
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MF $@.d $(TEST_DEFS) -Wall -Wextra $(PKG_CFLAGS) $< $(B)/libsamsvar-test.a -rdynamic $(LIBS) -lcmocka -o $@
$(B)/bench/%: bench/%.c $(B)/libsamsvar.a
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MF $@.d -Wall -Wextra $(PKG_CFLAGS) $< $(B)/libsamsvar.a -rdynamic $(LIBS) -o $@

# Fuzzers: readers of what others wrote, and what they stand on.
FUZZ_CC   = clang-14 -std=gnu11 -D_GNU_SOURCE -O1 -g -MMD -MP -Iinclude -I. $(BITS_FLAGS) $(PKG_CFLAGS) -fno-sanitize-recover=all
FUZZ_OBJ := $(patsubst %.c,$(B)/fuzz/obj/%.o,$(wildcard base/*.c format/*.c text/*.c train/recipe*.c train/task*.c train/verify*.c \
            http/limits.c serve/ask.c serve/ask_chat.c serve/cut.c infer/gram.c infer/schema.c infer/guide.c infer/vocab.c infer/sample.c infer/select.c infer/row.c))
$(B)/fuzz/obj/%.o: %.c tools/flags.mk
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -c $< -o $@
$(B)/fuzz/%: test/fuzz/%.c $(FUZZ_OBJ)
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined $< $(FUZZ_OBJ) $(LIBS) -o $@

include $(wildcard tools/targets.mk)
-include $(OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(TEST_BIN:=.d) $(FUZZ_OBJ:.o=.d) $(OCL_SRC:%.c=$(B)/%.d)
