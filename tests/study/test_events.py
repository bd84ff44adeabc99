from types import SimpleNamespace

from adapert.config import Config
from adapert.records import TrialStatus
from adapert.study.events import TrialEvents


class Heard:
    def __init__(self):
        self.events = []

    def trial_started(self, record, config):
        self.events.append(("started", record.trial_id, config.model.tau))

    def trial_reported(self, record):
        self.events.append(("reported", record.trial_id, record.n_epochs))

    def trial_ended(self, record):
        self.events.append(("ended", record.trial_id, record.status))


def lost_trial(tmp_path):
    """What Ray says of a trial whose worker died before it started."""
    assignment = {"variant": "sharp", "seed": 1, "changes": {"model.tau": 0.5}}
    config = {"base": Config().flat(), "assignment": assignment}
    return SimpleNamespace(trial_id="t1", config=config, pickled_error_file=None, path=str(tmp_path))


def test_a_trial_that_never_started_is_recorded_as_failed(tmp_path):
    heard = Heard()
    events = TrialEvents(Config(), [heard])
    events.on_trial_error(0, [], lost_trial(tmp_path))
    (record,) = events.records.values()
    assert (record.status, record.message) == (TrialStatus.FAILED, "The worker was lost.")
    assert (record.variant, record.seed, record.changes) == ("sharp", 1, {"model.tau": 0.5})
    assert heard.events == [("started", "t1", 0.5), ("ended", "t1", TrialStatus.FAILED)]


def test_trials_still_open_get_the_same_end_once(tmp_path):
    heard = Heard()
    events = TrialEvents(Config(), [heard])
    events.on_trial_start(0, [], lost_trial(tmp_path))
    events.end_rest(TrialStatus.INTERRUPTED)
    events.end_rest(TrialStatus.INTERRUPTED)
    assert heard.events[1:] == [("ended", "t1", TrialStatus.INTERRUPTED)]
