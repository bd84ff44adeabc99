import pandas as pd

from analysis.fields import field_label, varied_fields


def test_fields_that_do_not_vary_and_where_data_lie_are_no_settings() -> None:
    trials = pd.DataFrame(
        {
            "data.path": ["a", "b"],
            "model.tau": [1.0, 2.0],
            "model.dropout": [0.1, 0.1],
            "graph.top_k": [5, 10],
        }
    )
    assert varied_fields(trials) == ["model.tau", "graph.top_k"]
    assert field_label("model.n_graph_layers") == "graph layers"
