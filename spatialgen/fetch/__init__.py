"""Downloading pictures from a hostile internet, safely and at little cost.

reasons.py      the closed list of what can become of a URL
urls.py         from a URL as the CSV had it to the one that is requested
addresses.py    which addresses may be connected to
clock.py        deadlines that count the server's time and not ours
client.py       one request: redirects, limits, what its answer means
outcome.py      what a request brought
headers.py      what the headers of an answer say
robots.py       robots.txt
pictures.py     format, size and perceptual hash from a picture's bytes
hosts.py        what one host can take: parallel requests, pauses, a circuit breaker
schedule.py     which row is next, and when a failed one is tried again
concurrency.py  how many requests at once this machine can follow
crawl.py        all of it in one event loop: rows in, answers out
images.py       the pictures' own dataset in the store
stage.py        the row stage download
publish.py      lake/images and lake/downloads
estimate.py     what a run would take
seed.py         what `store seed` takes from pulled tables
probe.py        what a URL list would yield, before the real run
"""
