-- Which stated relations does the generator fail most?
-- Of the pictures painted under $condition (on: with the rows' own boxes), by the referee's rules
-- for what each judge found. relation: as the caption states it; captions: that state this kind
-- alone, and are counted; mixed: that state it beside other kinds, and are not, as a verdict does
-- not say which of them failed; tested: how often it is stated, in all their pictures; holds: share
-- of these; fails: their number; example: the lowest row_id of a picture that fails, or null. The
-- detector leaves out relations of what it has no class for.
-- param condition = on
-- param least = 5
with stated as (
    select row_id, list_distinct([r.relation for r in relations]) as kinds from boxes
), kind as (
    select row_id, len(kinds) = 1 as alone, unnest(kinds) as relation from stated
), judged as (
    select
        row_id,
        unnest(['annotator', 'detector']) as judge,
        unnest([by_annotator, by_detector]) as verdict
    from generations
    where condition = $condition
), counted as (
    select
        relation,
        judge,
        count(distinct row_id) filter (alone) as captions,
        count(distinct row_id) filter (not alone) as mixed,
        coalesce(sum(verdict.relations) filter (alone), 0)::bigint as tested,
        coalesce(sum(verdict.referee) filter (alone), 0)::bigint as held,
        min(row_id) filter (alone and verdict.referee < verdict.relations) as example
    from kind join judged using (row_id)
    group by relation, judge
)
select
    relation,
    judge,
    captions,
    mixed,
    tested,
    round(held / nullif(tested, 0), 4) as holds,
    tested - held as fails,
    example
from counted
where captions >= $least
order by holds nulls last, fails desc, relation, judge;
