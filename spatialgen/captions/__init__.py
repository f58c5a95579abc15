"""Judging captions: strong, weak or none; the rubric is rubric.txt."""
