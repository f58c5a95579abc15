-- What did stage evaluate paint, and how much of it is where it was wanted?
-- One line per condition (which boxes were given: none for off, the row's own for on) and judge.
-- pictures: painted; captions: distinct; sides: stated left, right, above or below in them; geneval:
-- share of these that hold by that rule; instances: of the rows' own boxes; hit: share of these
-- found at an IoU of 0.5 (mig); mean_iou: with them, misses 0; present: share found anywhere;
-- seconds: mean per picture. The detector is asked only for what it has a class for. Pictures that
-- failed are no rows; metrics/evaluate.json counts them as pictures of nothing.
with judged as (
    select
        condition, row_id, seconds,
        unnest(['annotator', 'detector']) as judge,
        unnest([by_annotator, by_detector]) as verdict
    from generations
)
select
    condition,
    judge,
    count(*) as pictures,
    count(distinct row_id) as captions,
    sum(verdict.sides)::bigint as sides,
    round(sum(verdict.geneval) / nullif(sum(verdict.sides), 0), 4) as geneval,
    sum(verdict.instances)::bigint as instances,
    round(sum(verdict.mig_hits) / nullif(sum(verdict.instances), 0), 4) as hit,
    round(sum(verdict.mig_iou::double) / nullif(sum(verdict.instances), 0), 4) as mean_iou,
    round(sum(verdict.present) / nullif(sum(verdict.instances), 0), 4) as present,
    round(avg(seconds), 3) as seconds
from judged
group by condition, judge
order by
    coalesce(
        list_position(['off', 'on', 'planned', 'shuffled', 'reconstruction'], condition), 6
    ),
    condition,
    judge;
