"""A worker that trains nothing: `fake_worker.py MODE RUN_DIR`. Its manners are the real one's, but for what MODE says.

steps: writes twenty steps and finishes, or stops when asked. patient: writes steps until it is asked to stop. deaf:
trains and hears neither the file nor SIGTERM. deaf-early: the same before training. crash: ends with status 3 and no
word. torn: dies in the middle of a line.
"""

import os
import signal
import sys
import time
from pathlib import Path

from irtuning.events import Finished, Phase, RunStarted, Step, Stopped
from irtuning.runs.store import EventLog, claim, stop_requested, store_lock

STEPS = 20


def main(mode: str, run_dir: Path) -> int:
    claim(run_dir)
    log = EventLog(run_dir)
    if mode == "crash":
        print("out of luck")
        return 3
    if mode.startswith("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def wait(holder: str) -> None:
        log.append(Phase(name="waiting", text=holder))

    with store_lock(run_dir.parent, run_dir.name, waiting=wait, should_stop=lambda: stop_requested(run_dir)):
        print("trains", flush=True)
        log.append(Phase(name="loading"))
        if mode == "deaf-early":
            time.sleep(60)
        log.append(
            RunStarted(
                layers=6, layer_names=[str(i) for i in range(6)], parameters_trainable=1, parameters_total=2,
                device="cpu", dtype="float32", steps=STEPS, corpus_sizes={}, labels=["a", "b"],
            )
        )
        log.append(Phase(name="training"))
        if mode == "torn":
            with (run_dir / "events.jsonl").open("ab") as stream:
                stream.write(b'{"time":1.0,"kind":"st')
            os.kill(os.getpid(), signal.SIGKILL)
        for step in range(1, STEPS + 1 if mode == "steps" else 3000):
            if stop_requested(run_dir) and mode != "deaf":
                log.append(Stopped(what=f"Stopped at step {step - 1}."))
                return 130
            log.append(
                Step(
                    step=step, epoch=0.1, loss=1.0, learning_rate=0.1, scores=[1.0] * 6, selected=[0], moved=[0],
                    seconds=0.02, tokens=9, memory_mib=1.0,
                )
            )
            time.sleep(0.02)
        log.append(Finished())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
