"""Start the processes that train one model together, and end them together.

    python examples/distributed/launch.py --processes 2 examples/distributed/train.py

starts both on this machine. On two machines, each with one of them:

    python launch.py --address 10.0.0.1:7000 --processes 2 --first 0 --here 1 train.py     # on 10.0.0.1
    python launch.py --address 10.0.0.1:7000 --processes 2 --first 1 --here 1 train.py     # on the other

If a process dies the others cannot go on. This script says which one it was and ends those on this machine;
on other machines JAX aborts them within two minutes.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(number, count, address, devices, command):
    """One process, its output marked with its number."""
    flags = os.environ.get("XLA_FLAGS", "")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "PYTHONUNBUFFERED": "1",
    }
    if devices:
        environment["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={devices}"
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )

    def tell():
        for line in process.stdout:
            print(f"[{number}] {line}", end="", flush=True)

    listener = threading.Thread(target=tell)
    listener.start()
    return process, listener


def how(code):
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with status {code}"
    return f"was killed by {signal.Signals(-code).name}"


def wait_for_all(processes, grace):
    """Wait until all have ended; if one fails, end the others after so many seconds.

    Returns:
        Status to exit with: 0 if all went well.
    """
    while True:
        codes = {number: process.poll() for number, process in processes.items()}
        failed = [number for number, code in codes.items() if code]
        if failed:
            return end_the_others(processes, failed[0], grace)
        if None not in codes.values():
            return 0
        time.sleep(0.2)


def end_the_others(processes, failed, grace):
    """Say what has happened, and see the others off."""
    begun = time.monotonic()
    print(
        f"launch: process {failed} {how(processes[failed].returncode)}. The others wait for it and cannot go "
        "on: they are ended. A store holds all finished snapshots; start again to resume it.",
        file=sys.stderr,
        flush=True,
    )
    rest = {number: process for number, process in processes.items() if process.poll() is None}
    for process in rest.values():
        try:
            process.wait(max(0.0, begun + grace - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for number, process in rest.items():
        seconds = time.monotonic() - begun
        print(f"launch: process {number} {how(process.returncode)} ({seconds:.0f} s later).", file=sys.stderr)
    return 1


def main():
    """Read the arguments, start, wait."""
    parser = argparse.ArgumentParser(description="Start the processes that train one model together.")
    parser.add_argument("--processes", type=int, default=2, help="how many in all")
    parser.add_argument("--address", help="host:port of process 0; a free port of this machine if not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first one on this machine")
    parser.add_argument("--here", type=int, help="how many on this machine; all if not given")
    parser.add_argument(
        "--devices", type=int, default=0, help="CPU devices in each; for trials without a GPU"
    )
    parser.add_argument("--grace", type=float, default=5.0, help="seconds left to the others if one dies")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="script and its arguments")
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("no script given")
    address = arguments.address or f"127.0.0.1:{free_port()}"
    here = arguments.processes if arguments.here is None else arguments.here
    found = {
        number: start(number, arguments.processes, address, arguments.devices, arguments.command)
        for number in range(arguments.first, arguments.first + here)
    }
    processes = {number: process for number, (process, _) in found.items()}
    try:
        status = wait_for_all(processes, arguments.grace)
    except KeyboardInterrupt:
        for process in processes.values():
            process.kill()
        status = 130
    for _, listener in found.values():
        listener.join()
    return status


if __name__ == "__main__":
    sys.exit(main())
