# Stillpoint. Two commands are all one needs: `make demo` and `make test`; both do their own set-up, once.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.tools/node/bin:$(PATH)
# What the user's shell exports must not change what the guest kit, the addon or the tests are.
unexport NODE_OPTIONS
# What Node has compiled once, types taken out, it does not compile again: a third of what starting a process costs.
export NODE_COMPILE_CACHE := $(CURDIR)/.cache/node
# Months from now Debian's archive holds neither this kernel nor this busybox; what is taken then is said.
export STILLPOINT_KIT_WHEN_GONE := newest

node := node --conditions=stillpoint-source --no-warnings=ExperimentalWarning
bin := node_modules/.bin
ARGS ?=

.PHONY: help demo test kvm soak software elsewhere bench figures check lint fmt generate record docs images pack kit-lock setup setup-tools clean distclean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

demo: setup ## from an image to a captured server behind a port, three clones, a report; ARGS=--json for one JSON line at the end
	@$(node) examples/01-*/main.ts $(ARGS)

test: setup qemu-if-possible images-if-possible chromium-if-possible check ## everything that is checked, on this host
	@$(node) scripts/test.ts

soak: setup ## what is random, at length and with new cases: hours; any of its numbers can be given, STILLPOINT_KILLS=5000
	@scripts/setup/qemu.sh
	@$(MAKE) --no-print-directory -C packages/native/agent soak
	@STILLPOINT_RUNS=$${STILLPOINT_RUNS:-100000} STILLPOINT_GUEST_RUNS=$${STILLPOINT_GUEST_RUNS:-500} \
	 STILLPOINT_KILLS=$${STILLPOINT_KILLS:-1000} STILLPOINT_DIFFERENTIAL_BATCHES=$${STILLPOINT_DIFFERENTIAL_BATCHES:-2000} \
	 STILLPOINT_CASES=$${STILLPOINT_CASES:-20000} STILLPOINT_HOSTILE_CASES=$${STILLPOINT_HOSTILE_CASES:-100000} \
	 STILLPOINT_INTERLEAVINGS=$${STILLPOINT_INTERLEAVINGS:-1000000} STILLPOINT_FAULTS=$${STILLPOINT_FAULTS:-all} STILLPOINT_MUTATIONS=$${STILLPOINT_MUTATIONS:-10000} \
	 STILLPOINT_VOLUME_KILLS=$${STILLPOINT_VOLUME_KILLS:-100} STILLPOINT_VOLUME_INSTANTS=$${STILLPOINT_VOLUME_INSTANTS:-200} \
	 $(node) scripts/test.ts --patient
	@scripts/miri.sh
	@scripts/fuzz.sh

kvm: setup-tools ## the engine kvm: on this host's /dev/kvm, and a stock kernel and a guest of the kit where QEMU emulates one; make test has a part of it
	@scripts/kvm/run.sh

software: images ## redis, python, postgres, nginx and nodejs, captured and cloned, and large images as umoci has them; make test has the first two
	@STILLPOINT_SOFTWARE=all $(bin)/vitest run --project examples examples/06-images-of-real-programs
	@STILLPOINT_SOFTWARE=all $(bin)/vitest run --project stillpoint packages/stillpoint/test/strangersClients.test.ts
	@STILLPOINT_SOFTWARE=all cargo test --workspace --locked --quiet --test images -- large

elsewhere: setup ## the packed packages with npm, pnpm, yarn, bun, Node 22.19, arm64 and TypeScript 5.9, and whether the core compiles for macOS; from the network, not part of make test
	@scripts/check/macos.sh
	@scripts/setup/other-tools.sh
	@scripts/setup/arm64.sh
	@STILLPOINT_ELSEWHERE=all $(bin)/vitest run --project scripts scripts/pack/elsewhere.test.ts

bench: setup ## measures the figures: a table, and bench/out/latest.json
	@scripts/setup/qemu.sh
	@scripts/setup/image-tools.sh --optional
	@scripts/setup/test-images.sh redis python
	@$(node) bench/main.ts $(ARGS)

figures: setup-tools ## the README's table of figures, from bench/figures.json; ARGS=--take first takes them from bench/out/latest.json
	@$(node) scripts/docs/figures.ts $(ARGS)

check: setup-tools lint addon ## formats, lints, types, generated files, dependency directions, lengths of files; changes nothing
	@echo "checking generated files"
	@$(node) scripts/contract/generate.ts --check
	@scripts/generateBindings.sh --check
	@echo "checking types"
	@$(bin)/tsc -b
	@echo "checking the directions of dependencies"
	@$(node) scripts/check/dependencyDirections.ts
	@echo "checking the lengths of files"
	@$(node) scripts/check/fileLengths.ts

lint: setup-tools ## formatters in check mode, oxlint, clippy, and whether the fuzz targets build
	@echo "checking formats"
	@$(bin)/oxfmt --check .
	@cargo fmt --check
	@echo "linting"
	@$(bin)/oxlint --quiet
	@cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	@cargo check --manifest-path packages/native/fuzz/Cargo.toml --locked --quiet

fmt: setup-tools ## formats everything in place
	@$(bin)/oxfmt .
	@cargo fmt

generate: setup-tools ## writes the generated files anew
	@$(node) scripts/contract/generate.ts
	@$(MAKE) --no-print-directory addon
	@scripts/generateBindings.sh

record: setup ## records the corpus of timelines anew, under fixtures/timelines/
	@$(node) scripts/record.ts $(ARGS)

docs: setup-tools ## the site, in site/: pages and API reference; a broken link fails it
	@$(node) scripts/docs/site.ts

images: setup ## OCI images of real software for riscv64, in .cache/test-images/layout: redis, python, nginx, postgres, nodejs
	@scripts/setup/image-tools.sh
	@scripts/setup/test-images.sh redis python nginx postgres nodejs

pack: setup ## every package as it is installed elsewhere, in .cache/packed/, with the addon of this platform; ARGS="--addon PLATFORM=FILE" for one that was built elsewhere
	@$(node) scripts/pack/pack.ts $(ARGS)

kit-lock: setup-tools ## locks the newest kernel and busybox of Debian's archive
	@$(node) packages/kit/src/cli.ts lock $(ARGS)
	@$(node) packages/kit/src/cli.ts lock --platform amd64 $(ARGS)

setup-tools:
	@scripts/setup/node.sh
	@scripts/setup/pnpm.sh
	@scripts/setup/packages.sh
	@scripts/setup/rust.sh

setup: setup-tools ## everything that demo and test need; done once, it is not done again
	@scripts/setup/cross-compiler.sh
	@scripts/setup/agent.sh
	@$(MAKE) --no-print-directory addon
	@scripts/setup/guest-kit.sh
	@scripts/setup/command.sh

.PHONY: addon qemu-if-possible images-if-possible chromium-if-possible
addon:
	@scripts/setup/addon.sh

qemu-if-possible:
	@scripts/setup/qemu.sh --optional

chromium-if-possible:
	@scripts/setup/chromium.sh --optional

# What images are compared with, and two small ones of real software; `make images` builds the rest.
images-if-possible:
	@scripts/setup/image-tools.sh --optional
	@scripts/setup/test-images.sh redis python

clean: ## removes what was built, keeps what was fetched
	rm -rf target site packages/*/dist packages/native/*.node bench/out .cache/stamps .cache/examples .cache/node .cache/bundled
	find . -name '*.tsbuildinfo' -not -path '*/node_modules/*' -delete
	-$(MAKE) -C packages/native/agent clean

distclean: clean ## removes what was fetched, too
	rm -rf .cache .tools node_modules packages/*/node_modules examples/*/node_modules
