-- What does it save to judge captions before their pictures are downloaded?
-- Every CSV record as a URL to fetch, against the rows that were asked for. A row costs what the rows
-- that were asked for cost on average: bytes of its picture, and seconds of the store's download
-- runs, with as many requests at once as they had. Judging costs the seconds of the runs before.
with asked as (
    select
        count(*) as rows,
        (select coalesce(sum(n_bytes), 0) from images) / nullif(count(*), 0) as bytes_per_row
    from downloads
), cost as (
    select
        sum(seconds) filter (stage = 'download')
            / nullif(sum(rows_computed) filter (stage = 'download'), 0) as s_per_row,
        coalesce(sum(seconds) filter (stage in ('candidates', 'filter')), 0) as judging_s
    from runs
), way(rank, way, rows, judging_s) as (
    select 1, 'download everything', value::bigint, 0.0
    from metrics where file = 'metrics/candidates' and name = 'records'
    union all select 2, 'judge first', rows, judging_s from asked cross join cost
)
select
    way,
    way.rows,
    round(way.rows * bytes_per_row / 1e9, 3) as GB,
    round(way.rows * s_per_row + way.judging_s, 1) as seconds,
    round(1 - way.rows / first_value(way.rows) over (order by rank), 4) as storage_saved,
    round(1 - (way.rows * s_per_row + way.judging_s)
        / first_value(way.rows * s_per_row + way.judging_s) over (order by rank), 4) as time_saved
from way cross join asked cross join cost
order by rank;
