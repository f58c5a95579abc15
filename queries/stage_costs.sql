-- What has each stage cost, and what did the store save?
-- Over all of its runs that ended well. seconds: wall time; computed, reused: rows computed, and
-- rows that the store answered; s_per_1000: seconds per 1000 computed rows, of runs that computed
-- any, with what lies around them (loading the model, publishing); busy: time that answers took,
-- over the wall time (above 1 with several devices); waited: share of that time spent waiting for
-- pictures; saved_hours: what the reused rows would have cost at s_per_1000.
with cost as (
    select
        stage,
        count(*) as runs,
        sum(seconds) as seconds,
        sum(rows_computed) as computed,
        sum(rows_reused) as reused,
        sum(seconds) filter (rows_computed > 0) / nullif(sum(rows_computed), 0) as s_per_row,
        sum(device_s) / sum(seconds) filter (device_s > 0) as busy,
        sum(waited_s) / nullif(sum(device_s), 0) as waited
    from runs
    group by stage
)
select
    stage,
    runs,
    round(seconds, 1) as seconds,
    computed::bigint as computed,
    reused::bigint as reused,
    round(1000 * s_per_row, 3) as s_per_1000,
    round(busy, 3) as busy,
    round(waited, 3) as waited,
    round(reused * s_per_row / 3600, 2) as saved_hours
from cost
order by cost.seconds desc, stage;
