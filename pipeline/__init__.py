"""One thin module per DVC stage: load params, open the lake, call the library, write metrics."""
