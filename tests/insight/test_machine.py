import json
import sys
import time

import pytest

from irtuning.insight.machine import Machine, MachineProbe

ANSWER = {"device": "cpu", "name": "2 CPU cores", "dtype": "bfloat16", "cores": 2, "memory_gib": 7.8, "gpu_memory_gib": None}


def saying(code):
    return [sys.executable, "-c", code]


def test_the_answer_is_the_last_line_and_is_kept():
    probe = MachineProbe(saying(f"print('some library greets'); print({json.dumps(ANSWER)!r})"))
    assert probe.known() is None
    assert probe.wait(30) == Machine(**ANSWER)
    assert probe.known() == Machine(**ANSWER)


def test_it_is_asked_once(tmp_path):
    mark = tmp_path / "asked"
    probe = MachineProbe(saying(f"open({str(mark)!r}, 'a').write('x'); print({json.dumps(ANSWER)!r})"))
    for _ in range(3):
        probe.wait(30)
    assert mark.read_text() == "x"


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('no json')", "print('{}')", "print('[1]')"])
def test_no_answer_is_none_and_nobody_waits_for_ever(code):
    assert MachineProbe(saying(code)).wait(30) is None


def test_start_returns_at_once_and_a_slow_process_is_ended():
    probe = MachineProbe(saying("import time; time.sleep(60)"), timeout_seconds=2.0)
    began = time.monotonic()
    probe.start()
    assert time.monotonic() - began < 1.5
    assert probe.wait(20) is None
    assert time.monotonic() - began < 20


def test_words_and_room():
    gpu = Machine("cuda", "NVIDIA H100", "bfloat16", 16, 128.0, 79.6)
    assert Machine(**ANSWER).words == "2 CPU cores, bf16"
    assert gpu.words == "NVIDIA H100, bf16"
    assert (Machine(**ANSWER).room_gib, gpu.room_gib) == (7.8, 79.6)


def test_the_real_question_is_answered():
    found = MachineProbe().wait(120)
    assert found is not None
    assert found.cores >= 1
    assert found.memory_gib > 0


def test_a_file_of_the_users_hides_no_module_from_the_question(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert MachineProbe().wait(120) is not None
