-- Which stated positions hold between the boxes?
-- relation: as the caption states it; stated: how often; tested: where all its things have boxes;
-- holds: share of the tested; fails: their number; example: a row that fails, or null.
with stated as (
    select row_id, unnest(relations) as r from boxes
)
select
    r.relation as relation,
    count(*) as stated,
    count(r.agrees) as tested,
    round(avg(r.agrees::int), 4) as holds,
    count(*) filter (not r.agrees) as fails,
    min(row_id) filter (not r.agrees) as example
from stated
group by relation
order by stated desc, relation;
