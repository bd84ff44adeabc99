import pytest

from benchmarks.gpu import main


@pytest.mark.slow
def test_all_that_a_card_is_asked_works_on_a_cpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.slots.N_ALIKE", 2)
    monkeypatch.setattr("benchmarks.gpu.N_PROCESSES", 1)
    monkeypatch.setattr("benchmarks.gpu.N_EPOCHS", 1)
    main(["--device", "cpu", "--small", "--slots", "2,3"])
    machine, *lines = capsys.readouterr().out.splitlines()
    assert "1 thread" in machine
    names = [line.split()[0] for line in lines]
    assert names == [
        *("slots_and_alone", "alone", "slots_2", "slots_3", "processes", "slots_to_alone"),
        *("slots_to_processes", "share_in_kernels", "slots_3_tf32", "slots_3_bfloat16"),
    ]
    assert not [line for line in lines if "nan" in line or " short " in line]


def test_what_there_is_no_time_for_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--device", "cpu", "--small", "--slots", "2", "--minutes", "0"])
    _, *lines = capsys.readouterr().out.splitlines()
    assert all("left out: 0 minutes are over" in line for line in lines)
    assert len(lines) == 8
