#!/usr/bin/env python3
"""Rewrite random models, and random changes of what the golden tests rewrite.
SPDX-License-Identifier: Apache-2.0

usage: check_fuzz_rewrites.py [--seed N] [--count N] [--rounds N] [--only NAME,...] [--keep DIR]
       check_fuzz_rewrites.py --model FILE        (exit 1 where it fails: for planish reduce)

Models grown:K, and PASS/GOLDEN.txt:K, which is that golden test's with changes, are the same on
every machine and whatever other tests there are. At every level and target, with every rewrite
verified: none is refused, the results are the original's (bit by bit at -O1, within what a
rounding elsewhere may change above), in our reference kernels and in ONNX Runtime without
optimizations; the interface stays, onnx.checker passes, ONNX Runtime loads it, a second run gives
the same bytes, and the file grows by no more than 1% + 4 KB. So do the results of a session that
rewrites for itself. Prints TAP, a line for 50 models each; --keep writes the models that fail.
"""
import argparse
import multiprocessing
import multiprocessing.connection
import os
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))

import numpy as np  # noqa: E402

import harness  # noqa: E402
from fuzzing import grow, judge, mutate, operators  # noqa: E402

CASE_SECONDS = 120
BLOCK = 50


def make(name, goldens):
    """The model of that name; None where nothing has come of it."""
    source, number = name.rsplit(":", 1)
    rng = np.random.default_rng([zlib.crc32(source.encode()), int(number)])
    if source == "grown":
        return grow.model(rng, operators.ALL)
    base = mutate.load(goldens[source])
    return mutate.mutate(rng, base) if base is not None else None


def examine(name, goldens, tell=lambda what: None):
    """(faults, model), faults None where it can't be judged."""
    model = make(name, goldens)
    if model is None:
        return None, b""
    try:
        faults = list(judge.judge(model, np.random.default_rng(1), tell=tell))
    except judge.Refused as e:
        return None, str(e).encode()
    return faults, model.SerializeToString() if faults else b""


def work(pipe, names, goldens):
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    for n in names:
        pipe.send((n, "ours"))
        try:
            result = examine(n, goldens, lambda what: pipe.send((n, what)))
        except Exception as e:
            result = [("-", "%s: %s" % (type(e).__name__, e))], b""
        pipe.send((n, result))
    pipe.send((None, None))
    os._exit(0)


class Worker:
    """A process of its own, since a crash is a result."""

    def __init__(self, names, goldens):
        self.names, self.goldens = list(names), goldens
        self.start()

    def start(self):
        self.pipe, there = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.get_context("fork").Process(
            target=work, args=(there, self.names, self.goldens))
        self.process.start()
        there.close()
        self.current, self.doing, self.since = None, "", time.monotonic()

    def fail(self, why):
        """The model at hand ends the process: the others go on in a new one."""
        at, doing = self.current, self.doing
        self.end()
        self.names = self.names[self.names.index(at) + 1:] if at is not None else []
        if self.names:
            self.start()
        # where the original crashes there, it is no model that can be judged
        return at, ([("-", why)] if doing != "theirs" else None, b"crash of theirs")

    def end(self):
        self.process.kill()
        self.process.join()

    def poll(self):
        """(name, result), None for nothing yet, "done"."""
        if not self.pipe.poll(0):
            late = time.monotonic() - self.since > CASE_SECONDS
            return self.fail("no end after %d s" % CASE_SECONDS) if late else None
        try:
            name, result = self.pipe.recv()
        except EOFError:
            return self.fail("crash") if self.current is not None else "done"
        self.since = time.monotonic()
        if name is None:
            self.end()
            return "done"
        if isinstance(result, str):
            self.current, self.doing = name, result
            return None
        return name, result


def results(names, goldens, jobs, seconds):
    """(name, result) as they come, until the time is over."""
    end = time.monotonic() + seconds
    workers = [Worker(names[k::jobs], goldens) for k in range(min(jobs, len(names)))]
    while workers and time.monotonic() < end:
        multiprocessing.connection.wait([w.pipe for w in workers], 1)
        for w in list(workers):
            got = w.poll()
            if got == "done" or (got and not w.names):
                workers.remove(w)
            if got and got != "done":
                yield got
    for w in workers:
        w.end()


def keep(folder, name, result):
    faults, data = result
    base = os.path.join(folder, name.replace("/", "_"))
    with open(base + ".onnx", "wb") as f:
        f.write(data)
    with open(base + ".txt", "w", encoding="utf-8") as f:
        f.write(name + "\n" + "\n".join("%s: %s" % p for p in faults) + "\n")


def judge_one(path):
    with open(path, "rb") as f:
        model = grow.parse(f.read())
    try:
        faults = list(judge.judge(model, np.random.default_rng(1)))
    except judge.Refused as e:
        print("it can't be judged: %s" % e)
        return 0
    for way, fault in faults:
        print("%s: %s" % (way, fault))
    return 1 if faults else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seed", type=int, default=0, help="the first K")
    p.add_argument("--count", type=int, default=400, help="of grown models")
    p.add_argument("--rounds", type=int, default=1, help="changed models of each golden test")
    p.add_argument("--seconds", type=float, default=1e9, help="end after this time, done or not")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--only", help="these models by name")
    p.add_argument("--keep", help="folder for the models that fail")
    p.add_argument("--model", help="only this file, and one line for each fault")
    o = p.parse_args()
    if o.model:
        return judge_one(o.model)
    goldens = dict(mutate.goldens(harness.ROOT))
    numbers = range(o.seed, o.seed + max(o.count, o.rounds))
    names = o.only.split(",") if o.only else \
        ["grown:%d" % k for k in numbers[:o.count]] + \
        ["%s:%d" % (name, k) for k in numbers[:o.rounds] for name in goldens]
    tap, judged, done = harness.Tap(), 0, 0
    if o.keep:
        os.makedirs(o.keep, exist_ok=True)
    for name, result in results(names, goldens, o.jobs, o.seconds):
        done += 1
        judged += result[0] is not None
        for way, fault in result[0] or []:
            tap.fail("%s %s" % (name, way), fault)
        if result[0] and o.keep:
            keep(o.keep, name, result)
        if done % BLOCK == 0:
            tap.ok("%d models" % done)
    tap.ok("%d models, %d of them judged" % (done, judged))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
