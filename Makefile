# Two commands matter: `make run` and `make test`. Both make and use .venv, from a clean clone, again and again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
WASM := tests/e2e/wasm

.PHONY: run test check docs bench soak clean

run: .venv/.ready-run ## run the main job on a text file and print the result
	$(BIN)/oag run extract examples/complaint.txt

test: .venv/.ready-test $(WASM)/node_modules/.ready ## install what the tests need and pass them
	$(BIN)/pytest --numprocesses 2 --dist worksteal

check: .venv/.ready-test ## the linters alone: style, types, layers, files, errors
	$(BIN)/pytest tests/contracts

docs: .venv/.ready-test ## build the documentation into site/
	$(BIN)/mkdocs build --strict

bench: .venv/.ready-test ## measure every published number again, beside its peers
	$(BIN)/python benchmarks/run_all.py

SOAKS := swap signing bus hostile plugin_zoo structured cycles "sessions --level L1" "sessions --level L2" \
  "faults --level L1" "faults --level L2" replace schedules \
  "schedules --ledger postgresql" batches sql_sink "sql_sink --to sqlite" \
  chaos "chaos --ledger postgresql" ray_nodes

soak: .venv/.ready-test ## hours in minutes: swaps, faults, cycles and replacements under load
	failed=; for soak in $(SOAKS); do \
	  $(BIN)/python tests/soak/$${soak%% *}.py $$(echo "$$soak" | cut -s -d' ' -f2-) || failed="$$failed $$soak;"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

clean:
	rm -rf .venv site dist build $(WASM)/node_modules

$(BIN)/python:
	$(PYTHON) -m venv .venv

NATIVE := CMakeLists.txt $(shell find native -name '*.cc' -o -name '*.h' -o -name '*.cu')

.venv/.ready-run: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	$(PIP) --editable '.[local]'
	touch $@

# llama.cpp is compiled, in the few minutes that its library alone takes
LLAMA := -DCMAKE_PROJECT_llama.cpp_INCLUDE=$(CURDIR)/tests/llama_cpp.cmake \
  -DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF

.venv/.ready-test: .venv/.ready-run
	CMAKE_ARGS='$(LLAMA)' $(PIP) llama-cpp-python
	$(PIP) --editable '.[local,gguf,openai,plugins,wasm,nats,redis,data,s3,sql,jobs,ray,dev]'
	touch $@

$(WASM)/node_modules/.ready: $(WASM)/package.json $(WASM)/package-lock.json
	cd $(WASM) && npm ci --silent --no-fund --no-audit
	touch $@
