"""What a caption says of positions, and whether boxes agree.

words.py     position words, and what they mean
segment.py   a caption's words by kind
parse.py     the relations that a caption states, and the names of its things
names.py     when two names mean the same thing
geometry.py  when a relation holds between boxes, with sources
referee.py   the verdict on a row
"""
