-- Which captions have no judgement, and why?
-- kind: the error up to its first colon; captions: how many; share: of all judged rows; error and
-- row_id: one of them. Raise filter.attempt to ask again what failed for a passing reason.
select
    split_part(error, ':', 1) as kind,
    count(*) as captions,
    round(count(*) / (select count(*) from captions), 6) as share,
    arg_min(error, row_id) as error,
    min(row_id) as row_id,
    left(arg_min(caption, row_id), 60) as caption
from captions
where error is not null
group by kind
order by captions desc, kind;
