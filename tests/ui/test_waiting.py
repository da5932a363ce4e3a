from irtuning.ui.waiting import queue_rows


def row(run, state, place):
    return {"run": run, "name": run, "state": state, "place": place}


def test_the_one_that_trains_comes_first_and_the_others_have_their_place():
    rows = [row("c", "queued", 2), row("b", "queued", 1), row("old", "finished", None), row("a", "running", 0)]
    assert [(r["run"], r["words"]) for r in queue_rows(rows)] == [
        ("a", "trains now"), ("b", "waits, 1 run before it"), ("c", "waits, 2 runs before it"),
    ]


def test_a_queue_of_one_is_none():
    assert queue_rows([row("a", "running", 0), row("z", "lost", None)]) == []
    assert queue_rows([row("a", "queued", 0)]) == []
    assert queue_rows([]) == []


def test_before_anything_trains_the_first_one_is_next():
    assert [r["words"] for r in queue_rows([row("b", "queued", 1), row("a", "queued", 0)])] == ["is next", "waits, 1 run before it"]
