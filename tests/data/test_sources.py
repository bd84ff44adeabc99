from pathlib import Path

import pytest

from adapert.config import OF_CELLS, Config
from adapert.data.sources import (
    EMBEDDINGS,
    NETWORKS,
    check_cells,
    check_names,
    check_picked,
    choose_sources,
    parse_sources,
)
from adapert.errors import InputError


def test_sources_are_named_in_their_order_and_a_bare_file_has_the_usual_name() -> None:
    assert parse_sources(["string=a.tsv", "b/c=d.tsv", "go=x/y=z.gmt"], NETWORKS) == {
        "string": "a.tsv",
        "network": "b/c=d.tsv",
        "go": "x/y=z.gmt",
    }
    assert list(parse_sources(["b=1", "a=2"], NETWORKS)) == ["b", "a"]
    assert parse_sources(["genept.pickle"], EMBEDDINGS) == {"text": "genept.pickle"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"needs a network, but none was named\. Give --network FILE"),
        (
            ["a.tsv", "b.tsv"],
            r"'network' is given twice: 'a\.tsv' and 'b\.tsv'\. Name them: --network NAME=FILE",
        ),
        (["go=a", "go=b"], "'go' is given twice"),
        (["=a.tsv"], "'' is no such name"),
        (["my go=a.tsv"], r"'my go' is no such name"),
        (["a+b=c"], r"'a\+b' is no such name"),
        (["..=c"], r"'\.\.' is no such name"),
        (["none=c"], "'none' stands for no source"),
        (["a" * 41 + "=c"], "of 1 to 40 letters"),
    ],
)
def test_bad_names_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_sources(given, NETWORKS)


def test_a_file_whose_name_has_an_equals_sign_is_told_how_to_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"Give --network NAME=FILE\.$"):
        parse_sources(["my go=a.tsv"], NETWORKS)
    Path("my go=a.tsv").touch()
    with pytest.raises(InputError, match=r"write '\./my go=a\.tsv'\.$"):
        parse_sources(["my go=a.tsv"], NETWORKS)


def test_a_name_is_not_a_networks_and_an_embeddings_at_once() -> None:
    path = Path("a")
    check_names({"string": path}, {"text": path})
    with pytest.raises(InputError, match=r"different names, but 'rpe1' is in both"):
        check_names({"string": path, "rpe1": path}, {"rpe1": path})
    with pytest.raises(InputError, match=r"needs a source of embeddings, but none was named"):
        check_names({"string": path}, {})


KNOWN = ("string", "go")


def test_a_config_picks_the_first_none_or_some_by_name() -> None:
    assert choose_sources("", KNOWN, NETWORKS) == ["string"]
    assert choose_sources("none", KNOWN, NETWORKS) == []
    assert choose_sources("go+string", KNOWN, NETWORKS) == ["go", "string"]


@pytest.mark.parametrize(
    ("picked", "message"),
    [
        ("sting", r"there is no 'sting'\. Did you mean 'string'\? The data set has 'string', 'go'"),
        ("string+", r"is 'string\+', and there is no ''"),
        ("string+none", "there is no 'none'"),
        ("go+go", r"must name each source once, but it is 'go\+go'"),
    ],
)
def test_what_the_data_set_does_not_have_is_refused(picked: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"'graph\.networks' {message}|'graph\.networks' .*{message}"):
        choose_sources(picked, KNOWN, NETWORKS)


def test_a_model_of_one_network_refuses_two_and_one_that_reads_none_does_not_care() -> None:
    config = Config().with_changes({"graph.networks": "string+go"})
    with pytest.raises(
        InputError, match=r"Model 'adapert' reads one network, .*such as graph\.networks=string"
    ):
        check_picked(config, KNOWN, ["text"])
    check_picked(config.with_changes({"model.name": "ridge_both"}), KNOWN, ["text"])
    check_picked(config.with_changes({"graph.networks": "go"}), KNOWN, ["text"])
    with pytest.raises(
        InputError, match=r"'data\.embeddings' .* no 'rpe1'.* has 'text'; prepare it with --embeddings"
    ):
        check_picked(Config().with_changes({"data.embeddings": "text+rpe1"}), KNOWN, ["text"])


def test_cells_are_refused_where_there_are_none_or_where_the_model_reads_their_moments() -> None:
    of_cells = Config().with_changes({"data.control": "cell"})
    check_cells(of_cells, "cells")
    with pytest.raises(InputError, match=r"'cell' needs single cells, but .* from responses\. Use 'mean'\."):
        check_cells(of_cells, "responses")
    vae = Config().with_changes({"model.name": "perturbed_vae"})
    check_cells(vae, "responses")
    with pytest.raises(InputError, match=r"rows 'cells' needs single cells, .* Use 'means' or 'auto'\."):
        check_cells(vae.with_changes({"perturbed_vae.rows": "cells"}), "responses")
    for name in OF_CELLS:
        of_cells = Config().with_changes({"model.name": name})
        check_cells(of_cells, "cells")
        with pytest.raises(InputError, match=rf"'{name}' needs single cells, .* of mean responses, such"):
            check_cells(of_cells, "responses")
    morph = Config().with_changes({"model.name": "morph"})
    check_cells(morph, "responses")
    with pytest.raises(InputError, match=r"morph\.rows 'cells' needs single cells, .* Use 'means' or 'auto'"):
        check_cells(morph.with_changes({"morph.rows": "cells"}), "responses")
    gears = Config().with_changes({"model.name": "gears"})
    check_cells(gears, "responses")
    with pytest.raises(InputError, match=r"moments of cells .* data\.control is 'cell'\. Use 'mean'"):
        check_cells(gears.with_changes({"data.control": "cell"}), "cells")
