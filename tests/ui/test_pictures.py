from irtuning.runs.store import RunStore
from irtuning.ui.pictures import Pictures
from tests.simulated import simulate, write_run


def test_a_run_has_a_picture_for_light_and_one_for_dark(tmp_path):
    write_run(tmp_path, "calm-heron-0001", simulate(layers=6, steps=20))
    made = Pictures(RunStore(tmp_path)).of("calm-heron-0001")
    assert made.count("data:image/png;base64,") == 2
    assert "ir-only-light" in made
    assert "ir-only-dark" in made


def test_it_is_shaded_by_what_a_score_of_the_run_means(tmp_path):
    runs = {"gradient": "calm-heron-0001", "cosine": "calm-heron-0002"}
    for metric, run in runs.items():
        write_run(tmp_path, run, simulate(layers=6, steps=20), config={"importance_metric_name": metric})
    pictures = Pictures(RunStore(tmp_path))
    assert pictures.of(runs["gradient"]) != pictures.of(runs["cosine"])


def test_it_is_made_anew_only_when_the_run_went_on(tmp_path):
    folder = write_run(tmp_path, "calm-heron-0001", simulate(layers=6, steps=20))
    reads = []

    class Counting(RunStore):
        def read_events(self, *args, **kwargs):
            reads.append(args)
            return super().read_events(*args, **kwargs)

    pictures = Pictures(Counting(tmp_path))
    first = pictures.of("calm-heron-0001")
    assert pictures.of("calm-heron-0001") == first
    once = len(reads)
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    steps = [line for line in lines if '"kind":"step"' in line]
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(steps[-1].replace('"step":20', '"step":21'))
    assert pictures.of("calm-heron-0001") != first
    assert len(reads) > once


def test_a_run_that_has_not_begun_or_is_not_there_has_none(tmp_path):
    write_run(tmp_path, "calm-heron-0001", iter([]))
    pictures = Pictures(RunStore(tmp_path))
    assert pictures.of("calm-heron-0001") == ""
    assert pictures.of("../etc") == ""
