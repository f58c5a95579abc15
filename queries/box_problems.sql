-- What went wrong with the annotator's answers?
-- kind: error (nothing could be read), problem (something was left out), disagree (a stated position
-- fails); what: its name; rows: that have it; share: of all rows; example: the one of lowest row_id.
with what as (
    select row_id, 'error' as kind, split_part(error, ':', 1) as what from boxes where error is not null
    union all
    select row_id, 'problem', unnest(list_distinct(problems)) from boxes
    union all
    select row_id, 'disagree', unnest(list_distinct([r.relation for r in relations if not r.agrees]))
    from boxes
)
select
    kind,
    what,
    count(*) as rows,
    round(count(*) / (select count(*) from boxes), 4) as share,
    min(row_id) as example
from what
group by kind, what
order by kind, rows desc, what;
