"""The sample world: everything that lets the pipeline run, and be measured, without data of yours.

Only pipeline/sample.py and the tests import it.
"""
