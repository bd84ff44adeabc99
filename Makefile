# Needs Python 3.11 or newer with pip and venv. Everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
# Half of the usual sizes: enough for 60 training perturbations, in half the time.
SMALL := model.latent_size=128 model.hidden_size=128 training.learning_rate=0.003 training.minibatch_size=20

.PHONY: test test-slow lint types docs demo

# Editable by its path: folders "adapert" or "studies" in the working directory would hide the packages otherwise.
.venv: pyproject.toml constraints.txt
	@echo "Installing adapert and what it needs into .venv: some minutes, most of them for PyTorch."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--config-settings editable_mode=compat --editable ".[dev,docs,parity,cluster,notebooks,dashboard]"
	touch .venv

# Compiled modules are kept, for the commands that tests start and for the next time.
test test-slow: export PYTHONDONTWRITEBYTECODE =

test: .venv
	$(BIN)/pytest -n 2 --dist loadfile

# Minutes: starts clusters, servers and databases, and kills what it started. Two at a time, since much of it waits.
test-slow: .venv
	$(BIN)/pytest -m slow -n 2 --dist loadfile

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv
	$(BIN)/mypy

# The site, in site/: a page or a heading that a link names and that is not there fails.
docs: .venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The main job on simulated data, from files to figures. Starts from scratch each time.
demo: .venv
	rm -rf $(DEMO)
	$(BIN)/adapert simulate --out $(DEMO)/input
	$(BIN)/adapert prepare $(DEMO)/input/cells.h5ad --network $(DEMO)/input/network.tsv.gz \
		--embeddings $(DEMO)/input/text.npz --split-fractions 0.5 0.2 0.3 --out $(DEMO)/prepared
	$(BIN)/adapert reproduce --data $(DEMO)/prepared --workspace $(DEMO)/runs --set $(SMALL) \
		--trials 12 --seeds 3 --max-epochs 10 --min-epochs 8 --top 2 --fresh-seeds 2 --redraws 1
	$(BIN)/adapert launch peers --data $(DEMO)/prepared --workspace $(DEMO)/runs --set $(SMALL) \
		--models adapert,kernel_ridge,kernel_loo,mean --trials 3 --seeds 2 --splits 1 \
		--max-epochs 10 --min-epochs 5 --top 2 --fresh-seeds 2 --redraws 1 --executor local
	$(BIN)/adapert figures peers --workspace $(DEMO)/runs
