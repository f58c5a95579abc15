"""Benchmarks: each module prints one line of JSON and fails where a bar is missed.

python -m tests.benchmarks                # all of them
python -m tests.benchmarks.candidates     # one of them
"""
