"""Commands in processes that fork from one which has imported the program and loaded its kernels.

A process of its own for each command, as a user has it, without the second or two in which Python starts: there are
hundreds of them in the suite. What concerns that start, the environment or signals has a Python of its own
(`commands.python_process`, `commands.start`, `commands.spikesim` with `env`).

`server.py` is the process that is forked, `client.py` asks it for a command and waits for its end, `start.py` starts
the server of a test process.
"""
