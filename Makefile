# The few verbs of this repository; what they do is in scripts/. `make help` lists them.
# MESH_CACHE names where slow outputs lie outside the clone (default: ~/.cache/meshwork).

.DEFAULT_GOAL := build
.PHONY: build demo test lint format bench fuzz sim soak package screenshots clean help

build: ## Build the program: build/mesh
	@scripts/build.sh

demo: ## Build, run a real job over five local nodes, verify it, show the result
	@scripts/demo.sh

test: ## Everything that CI checks; the last line counts what passed and failed
	@scripts/test.sh

lint: ## Formatting, static analysis and house rules, for all languages
	@scripts/lint.sh

format: ## Rewrite the sources as the formatters want them
	@scripts/format.sh

bench: ## Run the benchmarks (ARGS selects cases)
	@scripts/extra.sh bench $(ARGS)

fuzz: ## Run each fuzz target for a while (ARGS selects targets, SECONDS_EACH the time)
	@scripts/extra.sh fuzz $(ARGS)

sim: ## Try to break the protocol in simulation (SEED, NODES, HOURS; ARGS are further arguments, --help lists them)
	@scripts/extra.sh sim $(if $(SEED),--seed $(SEED)) $(if $(NODES),--nodes $(NODES)) $(if $(HOURS),--hours $(HOURS)) $(ARGS)

soak: ## Run the long tests: fuel over 10,000 modules, a real mesh under kills and load, large simulated ones under every fault
	@scripts/extra.sh soak $(ARGS)

package: ## Debian package, tarball, Python wheel and npm tarball in build/package; installed and tried in a clean Debian
	@scripts/package.sh $(ARGS)

screenshots: ## Take the pictures of the dashboard in docs/screenshots anew
	@scripts/extra.sh screenshots

clean: ## Remove the build folder (not the cache outside the clone)
	@rm -rf build

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16
