from irtuning.ui.run_list import MOST_ROWS, run_list, run_row, stamp

ROW = {
    "run": "calm-heron-0001", "name": "calm-heron", "state": "finished", "model": "minilm", "corpus": "starter", "method": "full",
    "step": 168, "started": "2026-01-01T00:00:00+00:00", "metrics": {"macro_f1": 0.661}, "floor": {"macro_f1": 0.55},
    "recorded": False,
}


def test_a_row_says_what_it_was_and_what_came_out():
    made = run_row(ROW, "<img>")
    for part in ('data-run="calm-heron-0001"', "calm-heron", "finished", "MiniLM · Starter · All layers · 1 January 2026", "0.66", "0.55"):
        assert part in made
    assert "recorded" not in made


def test_a_recorded_run_is_marked():
    assert "recorded" in run_row({**ROW, "recorded": True}, "")


def test_a_run_that_broke_says_why_and_what_to_do():
    assert "Too hot. Cool it." in run_row({**ROW, "state": "failed", "what": "Too hot.", "advice": "Cool it."}, "")
    assert "Gone. Resume it." in run_row({**ROW, "state": "lost", "what": "Gone.", "advice": "Resume it."}, "")


def test_names_from_files_are_text():
    made = run_row({**ROW, "corpus": "<script>.csv", "model": "<b>"}, "")
    assert "<script>" not in made
    assert "<b>" not in made


def test_a_long_list_shows_the_newest_and_says_how_many_are_left():
    asked = []
    rows = [{**ROW, "run": f"r-{i}"} for i in range(MOST_ROWS + 3)] + [{**ROW, "run": "shipped", "recorded": True}]
    made = run_list(rows, lambda run: asked.append(run) or "")
    assert asked == [*(f"r-{i}" for i in range(MOST_ROWS)), "shipped"]
    assert "3 older runs" in made
    assert "No run yet" in run_list([], str)


def test_the_stamp_tells_of_another_run_another_state_and_ten_more_steps():
    known = stamp([ROW])
    assert stamp([{**ROW, "step": 169}]) == known
    for rows in ([], [ROW, {**ROW, "run": "calm-heron-0002"}], [{**ROW, "state": "stopped"}], [{**ROW, "step": 170}]):
        assert stamp(rows) != known
