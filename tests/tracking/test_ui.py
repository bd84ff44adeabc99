import re
import socket

import pytest
from rich.console import Console

from adapert.errors import InputError
from adapert.tracking.store import DATABASE
from adapert.tracking.ui import serve
from adapert.tracking.views import VIEWS, view_address


def test_a_workspace_without_a_store_is_refused_and_left_as_it_is(tmp_path):
    with pytest.raises(InputError, match=rf"'{re.escape(str(tmp_path))}' has no {DATABASE}\. Launch a study"):
        serve(tmp_path, 5000, Console())
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_refused(workspace):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"needs a free port, but {port} is taken\. Give another"):
            serve(workspace, port, Console())


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_opens_the_run_table_and_not_the_pages_for_agents(view):
    address = view_address("1", 5000, view)
    assert address.startswith("http://127.0.0.1:5000/#/experiments/1/runs?")
    assert "workflowType=machine_learning" in address
