"""Who is next, who waits, and who is given up; on a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.fetch.hosts import BREAK_AFTER, MAX_RETRY_AFTER, Host, Question
from spatialgen.fetch.outcome import Outcome, failure
from spatialgen.fetch.reasons import Reason
from spatialgen.fetch.schedule import Policy, Schedule

OK = Outcome()
REFUSED = failure(Reason.connection, "refused")
POLICY = Policy(retries=2, per_host=4)


def question(number: int, host: str = "a") -> Question:
    return Question(number, number, f"http://{host}/{number}", host)


def filled(*hosts: str, policy: Policy = POLICY) -> Schedule:
    schedule = Schedule(policy)
    for number, host in enumerate(hosts):
        schedule.add(question(number, host), 0.0)
    return schedule


def started(schedule: Schedule, now: float = 0.0, *, last: bool = False) -> list[Question]:
    found = []
    while (asked := schedule.start(now, last=last)) is not None:
        found.append(asked)
    return found


def test_hosts_take_turns_and_have_a_limit() -> None:
    schedule = filled(*"aaaaaaaa", "b", "c", "b")
    assert [q.host for q in started(schedule)] == ["a", "b", "c", "a", "b", "a", "a"]
    assert schedule.rows == 11


def test_a_slot_is_free_when_its_request_ends() -> None:
    schedule = filled(*"aaaaaa")
    first = started(schedule)
    assert len(first) == 4
    assert schedule.finish(first[0], OK, 1.0)
    assert [q.key for q in started(schedule, 1.0)] == [4]


@pytest.mark.parametrize("reason", [Reason.timeout, Reason.server_error, Reason.truncated])
def test_a_passing_failure_is_tried_again_after_a_pause_and_then_is_the_answer(
    reason: Reason,
) -> None:
    schedule = filled("a")
    for tries in range(1, 4):
        (asked,) = started(schedule, tries * 100.0)
        final = schedule.finish(asked, failure(reason, "x"), tries * 100.0)
        assert final == (tries == 3)
        assert asked.requests == tries
        assert started(schedule, tries * 100.0) == [], "it waits"
    assert schedule.rows == 0


@pytest.mark.parametrize(
    "reason", [Reason.gone, Reason.not_image, Reason.opt_out, Reason.no_such_host, Reason.tls]
)
def test_a_lasting_failure_is_the_answer(reason: Reason) -> None:
    schedule = filled("a")
    (asked,) = started(schedule)
    assert schedule.finish(asked, failure(reason, "x"), 1.0)


def test_retry_after_is_the_least_and_has_a_limit() -> None:
    schedule = filled("a", "a")
    patient, impatient = started(schedule)
    busy = failure(Reason.rate_limited, "429")
    busy.retry_after = 50.0
    assert not schedule.finish(patient, busy, 0.0)
    assert started(schedule, 49.0) == []
    assert started(schedule, 81.0) == [patient]
    busy.retry_after = MAX_RETRY_AFTER + 1
    assert schedule.finish(impatient, busy, 0.0)


def limit(schedule: Schedule, asked: list[Question], seconds: float, now: float = 0.0) -> None:
    busy = failure(Reason.rate_limited, "429", 429)
    busy.retry_after = seconds
    for question in asked:
        schedule.finish(question, busy, now)


def test_a_host_that_limits_us_rests_as_a_whole_and_one_page_does_not_speak_for_it() -> None:
    policy = Policy(retries=0, per_host=4)
    schedule = filled(*"a" * 9, policy=policy)
    first = started(schedule)
    limit(schedule, first[:1], 10.0)
    assert len(started(schedule, 0.0)) == 1, "one page"
    limit(schedule, first[1:], 10.0)
    assert started(schedule, 9.0) == [], "three in a row"
    assert started(schedule, 10.1)


def test_a_host_that_sends_us_away_for_a_year_costs_no_time() -> None:
    schedule = filled(*"a" * 50, "b", policy=Policy(retries=0, per_host=4))
    first = [asked for asked in started(schedule) if asked.host == "a"]
    limit(schedule, first[:1], 3e300)
    assert schedule.given_up == [], "the others are asked"
    limit(schedule, first[1:], 3e300)
    assert {outcome.reason for _, outcome in schedule.given_up} == {Reason.host_down}
    assert len(schedule.given_up) == 50 - 4
    schedule.add(question(60), 4000.0)
    assert len(started(schedule, 4000.0)) == 1, "and after an hour they are asked again"


def test_a_pause_is_remembered_when_no_row_is_left() -> None:
    schedule = filled("a", "a", "a", policy=Policy(retries=0, per_host=3))
    limit(schedule, started(schedule), 60.0)
    schedule.add(question(7), 1.0)
    assert started(schedule, 59.0) == []
    assert [q.key for q in started(schedule, 61.0)] == [7]


def test_timeouts_that_come_at_once_break_no_host() -> None:
    schedule = filled(*"a" * 60, policy=Policy(retries=0, per_host=50))
    for asked in started(schedule):
        schedule.finish(asked, failure(Reason.timeout, "x"), 0.0)
    assert len(started(schedule, 1.0)) == 10


def test_rows_that_wait_are_told_from_those_that_do_not() -> None:
    schedule = filled(*"aaaa", "b")
    first = started(schedule)
    for asked in first[:2]:
        schedule.finish(asked, failure(Reason.forbidden, "403", 403), 0.0)
    schedule.finish(first[2], failure(Reason.timeout, "x"), 0.0)
    assert (schedule.rows, schedule.waiting()) == (5, 3)
    assert not schedule.can_start()


def test_forbidden_is_tried_once_more_when_nothing_else_is_left() -> None:
    schedule = filled("a", "b")
    first, other = started(schedule)
    assert not schedule.finish(first, failure(Reason.forbidden, "403", 403), 0.0)
    assert started(schedule, 5.0, last=True) == [], "another row is in flight"
    assert schedule.finish(other, OK, 6.0)
    assert started(schedule, 6.0) == [], "more rows may come"
    assert started(schedule, 6.0, last=True) == [first]
    assert schedule.finish(first, failure(Reason.forbidden, "403", 403), 7.0)
    assert schedule.rows == 0


def test_forbidden_is_tried_again_in_a_long_run_too() -> None:
    schedule = filled("a")
    (first,) = started(schedule)
    schedule.finish(first, failure(Reason.forbidden, "403", 403), 0.0)
    assert started(schedule, POLICY.forbidden_s + 1) == [first]
    schedule = filled("a")
    (first,) = started(schedule)
    assert schedule.finish(first, failure(Reason.forbidden, "451", 451), 0.0)


def break_host(schedule: Schedule, now: float) -> None:
    for asked in started(schedule, now)[:BREAK_AFTER]:
        schedule.finish(asked, REFUSED, now)


def test_a_host_that_nobody_answers_at_is_left_alone_then_probed_then_given_up() -> None:
    policy = Policy(retries=0, per_host=BREAK_AFTER)
    schedule = filled(*"a" * (BREAK_AFTER + 5), policy=policy)
    break_host(schedule, 0.0)
    assert started(schedule, policy.breaker_s - 1) == [], "it rests"
    (probe,) = started(schedule, policy.breaker_s + 1)
    schedule.finish(probe, REFUSED, policy.breaker_s + 1)
    reasons = [outcome.reason for _, outcome in schedule.given_up]
    assert reasons == [Reason.host_down] * 4
    schedule.add(question(99), policy.breaker_s + 2)
    assert len(schedule.given_up) == 5, "at once, while it is down"
    schedule.add(question(100, "b"), policy.breaker_s + 2)
    assert [q.key for q in started(schedule, policy.breaker_s + 2)] == [100]
    schedule.add(question(101), 4 * policy.breaker_s)
    assert [q.key for q in started(schedule, 4 * policy.breaker_s)] == [101], "another probe"


def test_a_probe_that_succeeds_brings_the_host_back() -> None:
    policy = Policy(retries=0, per_host=BREAK_AFTER)
    schedule = filled(*"a" * (BREAK_AFTER + 5), policy=policy)
    break_host(schedule, 0.0)
    (probe,) = started(schedule, 31.0)
    schedule.finish(probe, OK, 31.5)
    assert len(started(schedule, 31.5)) == 4
    assert schedule.given_up == []


def test_errors_of_pages_never_break_a_host() -> None:
    policy = Policy(retries=0, per_host=100)
    schedule = filled(*"a" * 100, policy=policy)
    for asked in started(schedule):
        schedule.finish(asked, failure(Reason.gone, "404", 404), 0.0)
    schedule.add(question(100), 1.0)
    assert len(started(schedule, 1.0)) == 1


def test_single_errors_do_not_slow_a_host_but_many_do() -> None:
    host = Host("a", limit=32, most=32)
    busy = failure(Reason.server_error, "503")
    for n in range(400):
        host.finished(busy if n % 20 == 0 else OK, 0.0, 30.0)
    assert host.limit > 30
    for _ in range(40):
        host.finished(busy, 0.0, 30.0)
    assert host.limit <= 2
    for _ in range(700):
        host.finished(OK, 0.0, 30.0)
    assert host.limit == 32


OUTCOMES = (
    None,
    Reason.gone,
    Reason.timeout,
    Reason.connection,
    Reason.rate_limited,
    Reason.forbidden,
)


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=60),
    st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=40),
    st.integers(0, 3),
)
def test_every_row_gets_one_answer_whatever_happens(
    hosts: list[str], fates: list[Reason | None], retries: int
) -> None:
    schedule = filled(*hosts, policy=Policy(retries=retries, per_host=3))
    answered: list[int] = []
    now, turn = 0.0, 0
    while schedule.rows or schedule.given_up:
        for asked in started(schedule, now, last=True):
            reason = fates[turn % len(fates)]
            turn += 1
            status = 403 if reason is Reason.forbidden else None
            outcome = OK if reason is None else failure(reason, "x", status)
            if schedule.finish(asked, outcome, now):
                answered.append(asked.key)
        answered += [q.key for q, _ in schedule.given_up]
        schedule.given_up.clear()
        now += 20.0
        assert now < 1e6, "a row is stuck"
    assert sorted(answered) == list(range(len(hosts)))
    assert schedule._hosts.keys() <= set("abc")
