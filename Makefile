# Each target is one readable line or calls one tool; continuous integration calls these and nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book test quick oldest lab-proof lint notebooks train experiments bench gpu-check address site-report lock browser venv clean
export OMP_NUM_THREADS := 1
unexport PYTHONDONTWRITEBYTECODE # what is imported is compiled once, and not all that is installed
PY := .venv/bin/python
# A worker a core. nbval takes seconds to start.
PARALLEL := -p no:nbval -n $(shell getconf _NPROCESSORS_ONLN) --dist loadgroup --no-loadscope-reorder
CHECKED := memformer_lite tests tools book
MODEL := bucketing attention encoder memory memory_rules decoder memformer reference replay doors validation errors
LEARNING := tasks recipes train checkpoint slots record learning

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

book: venv ## set up, run the chapters and build the site to _build/html
	$(PY) tools/build_site.py

test: venv browser lint book ## set up, build, and pass every test: package, chapters, site
	$(PY) -m pytest $(PARALLEL)

quick: lint ## code style, and the tests of the model: what to run after each edit
	$(PY) -m pytest $(MODEL:%=tests/test_%.py) $(PARALLEL)

# -W default: packages of those days warn of what came later.
oldest: ## the model and learning, with the oldest versions that pyproject.toml promises
	rm -rf _build/oldest
	python3 -m venv _build/oldest
	python3 tools/lower_bounds.py > _build/oldest/bounds.txt
	grep -E '^(memformer|pytest|pytest-xdist)==' requirements.txt > _build/oldest/tests.txt
	_build/oldest/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c _build/oldest/bounds.txt -r _build/oldest/tests.txt -e '.[book,live]'
	_build/oldest/bin/python -m pytest -W default $(MODEL:%=tests/test_%.py) $(LEARNING:%=tests/test_%.py)

lab-proof: venv ## try every exercise with right answers and with each known mistake
	$(PY) -m memformer_lite lab proof --page book/appendix/misconceptions.md

lint: venv ## style, types and spelling of the code, and the forms that GitHub reads
	$(PY) -m ruff check $(CHECKED)
	$(PY) -m ruff format --check $(CHECKED)
	$(PY) -m mypy
	$(dir $(PY))biome lint --error-on-warnings
	$(dir $(PY))biome format
	$(PY) -m codespell_lib --skip '.venv,.git,_build,*.egg-info,*.svg' .
	$(PY) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(dir $(PY))zizmor --offline --quiet .github

notebooks: venv ## run the chapters again, bring their files into the committed form, list them
	$(PY) tools/notebooks.py
	$(PY) tools/chapters.py

train: venv ## train the model that ships again: memformer_lite/models/stories.safetensors
	$(PY) -m memformer_lite train stories --seed 1 --save-model memformer_lite/models/stories.safetensors

experiments: venv ## run the experiments that are not on record, two at a time
	$(PY) -m memformer_lite experiments --workers 2

bench: venv browser ## measure speed and memory against the reference code, and the explorer
	$(PY) tools/bench.py
	$(PY) tools/bench_memory.py
	$(PY) tools/bench_explorer.py

gpu-check: venv ## on a machine with a GPU: check what can differ there, measure speed and memory
	$(PY) tools/gpu_check.py

site-report: venv browser book ## weight, keys, movement and Lighthouse's scores of each page; PAGES="book/index …" for some
	$(PY) -m tools.site_report $(PAGES)

address: venv ## write the public address everywhere: URL=https://github.com/OWNER/REPO, or URL= to unset
	$(PY) tools/address.py "$(URL)"

browser: venv ## find Chromium for the tests of the site, or install Debian's
	$(PY) tools/browser.py

lock: ## write constraints.txt: the version of every package that requirements.txt brings today
	rm -rf _build/lock
	python3 -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	{ echo '# The version of every package in the tested environment, written by `make lock`.'; \
	  _build/lock/bin/python -m pip freeze | sed 's/+.*//'; } > constraints.txt

venv: .venv/ready ## make .venv from requirements.txt

.venv/ready: requirements.txt constraints.txt pyproject.toml
	@python3 -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"python3 is {v[0]}.{v[1]}: Python 3.11 or newer is needed")'
	@echo "Setting up .venv from requirements.txt; the first time takes a few minutes …"
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt -c constraints.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

clean: ## remove what make book and make test have made, except .venv
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find memformer_lite tests tools book -name __pycache__ -prune -exec rm -rf {} +
