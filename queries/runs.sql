-- What did the last runs of each stage cost, and how much came from the store?
-- rows_total: that the stage was asked for; reused: share of them that the store answered; the
-- others were computed, some without an answer (rows_failed); rows_per_s: computed, over the whole
-- run; started: UTC. stage_costs.sql sums them up.
-- param limit = 20
select
    stage,
    started,
    round(seconds, 1) as seconds,
    rows_total,
    round(rows_reused / nullif(rows_total, 0), 4) as reused,
    rows_computed,
    rows_failed,
    round(rows_per_s) as rows_per_s
from runs
order by started desc
limit $limit;
