# Backdrop: from a clean clone to tables and figures. `make help` lists the targets.

PRESET ?= laptop
PYTHON ?= python3
VENV ?= .venv
RESULTS ?= results
PROCESSES ?=
UNCOMMITTED ?=
ALLOW ?=
BENCH ?=
SWEEP ?=
TORCH ?=
export DATA ?= data

RUN = $(VENV)/bin/python -m
INSTALLED = $(VENV)/.installed
REPRODUCE = $(RUN) experiments.reproduce $(PRESET) --results "$(RESULTS)" \
	$(if $(PROCESSES),--processes $(PROCESSES)) $(if $(UNCOMMITTED),--uncommitted)

# Figures need no torch: take the full environment if it is there, else a small one.
DRAW_VENV = $(if $(wildcard $(INSTALLED)),$(VENV),.venv-figures)
DRAW_INSTALLED = $(DRAW_VENV)/.installed
DRAW = $(DRAW_VENV)/bin/python -m

.PHONY: help reproduce-paper complete collect decide status rerun figures bench sweep-figure test test-all lint format docs lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 18
	@echo
	@echo "PRESET is smoke, laptop (default), primary, extended, tuning or paper; DATA is the data folder (default: data)."
	@echo "TORCH=cpu installs PyTorch's builds for processors, without the CUDA packages."

reproduce-paper: $(INSTALLED)  ## train a preset, write tables, figures and report, compare with the committed ones
	@$(call AND_REPORT,$(REPRODUCE))

complete: $(INSTALLED)  ## compute only the runs that the committed table of a preset lacks
	@$(call AND_REPORT,$(REPRODUCE) --complete)

collect: $(INSTALLED)  ## compute nothing; collect and report the finished runs of a preset
	@$(call AND_REPORT,$(REPRODUCE) --collect,--required)

decide: PRESET = primary
decide: $(INSTALLED)  ## run the primary comparisons, look by look, until each is decided or at its limit
	@$(call AND_REPORT,$(REPRODUCE) --complete)
	@while more=$$($(RUN) scripts.decide "$(RESULTS)/$(PRESET)") && [ -n "$$more" ]; do \
	$(REPRODUCE) --complete --pairs $$more || exit 1; done; $(RUN) scripts.report "$(RESULTS)/$(PRESET)"

define AND_REPORT
status=0; $(1) || status=$$?; \
if [ -e "$(RESULTS)/$(PRESET)/runs.csv" ]; then { $(RUN) scripts.report "$(RESULTS)/$(PRESET)" && \
$(RUN) scripts.agreement "$(RESULTS)/$(PRESET)" $(2); \
} || status=1; fi; exit $$status
endef

status: $(INSTALLED)  ## say how far the runs of a preset are here, and which command goes on
	@$(RUN) experiments.status $(PRESET) --results "$(RESULTS)"

rerun: $(INSTALLED)  ## run the row ID=… of a committed table again and compare
	@$(RUN) experiments.rerun $(ID) --results "$(RESULTS)" $(if $(ALLOW),--allow $(ALLOW))

figures: $(DRAW_INSTALLED)  ## make every table, figure and report again from committed files
	@for table in "$(RESULTS)"/*/runs.csv; do $(DRAW) scripts.report "$$(dirname "$$table")" || exit 1; done
	@$(DRAW) scripts.summary --results "$(RESULTS)"
	@$(DRAW) scripts.bench --results "$(RESULTS)"

bench: $(INSTALLED)  ## measure what steps cost, or only BENCH="survivors auc_loss"; tables in results/bench/
	@status=0; $(RUN) experiments.bench $(BENCH) --results "$(RESULTS)" || status=$$?; \
	$(RUN) scripts.bench --results "$(RESULTS)" || status=1; exit $$status

sweep-figure: $(INSTALLED)  ## collect the last sweep of your own and draw error, AUC or F1 against p
	@folder=$$($(RUN) experiments.collect --runs "$(RESULTS)/runs") && $(RUN) scripts.sweep "$$folder" $(SWEEP)

test: $(INSTALLED)  ## run the tests
	$(RUN) pytest

test-all: $(INSTALLED)  ## run the tests, slow ones too
	$(RUN) pytest -m ""

lint: $(INSTALLED)  ## check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict backdrop
	$(VENV)/bin/mypy experiments scripts

format: $(INSTALLED)  ## format the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: .venv-docs/.installed  ## make the site of docs/ with the API reference, in build/docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

lock: $(INSTALLED)  ## resolve the newest allowed versions into requirements.lock (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade --quiet \
		--output-file requirements.lock

clean:  ## remove environments and caches; results and data stay
	rm -rf .venv .venv-figures .venv-docs .pytest_cache .hypothesis .mypy_cache .ruff_cache build dist ./*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# TORCH=cpu leaves the CUDA packages out, and takes the builds that PyTorch offers for processors.
ifeq ($(TORCH),cpu)
define INSTALL_LOCKED
$(VENV)/bin/pip install --quiet --disable-pip-version-check uv
grep -vE '^(cuda|nvidia|triton)' requirements.lock > $(VENV)/cpu.lock
$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --torch-backend cpu --requirement $(VENV)/cpu.lock
endef
else
INSTALL_LOCKED = $(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement requirements.lock
endif

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL_LOCKED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv-figures/.installed: requirements.lock
	$(PYTHON) -m venv .venv-figures
	.venv-figures/bin/pip install --quiet --disable-pip-version-check --constraint requirements.lock \
		numpy pandas scipy statsmodels matplotlib
	@touch $@

.venv-docs/.installed: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	@touch $@
