-- What does it save to judge captions before their pictures are downloaded?
-- Every CSV record as a URL to fetch, against the rows that were asked for. A row costs what the
-- rows that were asked for cost on average: bytes of its picture, and seconds of the store's
-- download runs, with as many requests at once as they had. Judging costs as much per record and
-- per distinct caption as in the runs of candidates and filter. way: either of the two; rows:
-- asked for; GB: 1e9 bytes of pictures; seconds: null where the store has no such runs; saved:
-- shares of storage and time.
with asked as (
    select
        count(*) as rows,
        (select coalesce(sum(n_bytes), 0) from images) / nullif(count(*), 0) as bytes_per_row
    from downloads
), record as (
    select value::bigint as rows from metrics
    where file = 'metrics/candidates' and name = 'records'
), stage as (
    select stage, sum(seconds) / sum(rows_computed) as s_per_row
    from runs where rows_computed > 0 group by stage
), cost as (
    select
        any_value(s_per_row) filter (stage = 'download') as s_per_row,
        any_value(s_per_row) filter (stage = 'candidates') * (from record)
            + any_value(s_per_row) filter (stage = 'filter')
            * (select count(distinct caption) from captions) as judging_s
    from stage
), way(rank, way, rows, judged_s) as (
    select 1, 'download everything', rows, 0.0 from record
    union all select 2, 'judge first', rows, judging_s from asked cross join cost
), spent as (
    select
        rank,
        way,
        way.rows as rows,
        way.rows * bytes_per_row as bytes,
        way.rows * s_per_row + judged_s as seconds
    from way cross join asked cross join cost
)
select
    way,
    rows,
    round(bytes / 1e9, 3) as GB,
    round(spent.seconds, 1) as seconds,
    round(1 - rows / first_value(rows) over (order by rank), 4) as storage_saved,
    round(1 - spent.seconds / first_value(spent.seconds) over (order by rank), 4) as time_saved
from spent
order by rank;
