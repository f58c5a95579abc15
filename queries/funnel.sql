-- How many CSV records become rows to train on, and where do the others go?
-- step: in the order of the pipeline, as far as it has run; records: how many; share: of all records.
-- A row with boxes has at least one. Positions hold where spatial_agree is true. The training split
-- is of the rows with a picture, whether their positions hold or not.
with step(rank, step, file, name) as (
    values
        (1, 'records in the CSV shards',          'metrics/candidates', 'records'),
        (2, 'rejected: no row (see rejects.sql)', 'metrics/candidates', 'rejected'),
        (3, 'dropped: no position word',          'metrics/candidates', 'unmatched'),
        (4, 'dropped: exact duplicate',           'metrics/candidates', 'duplicates'),
        (5, 'candidates',                         'metrics/candidates', 'candidates'),
        (6, 'judged strong',                      'metrics/filter',     'strong'),
        (7, 'judged weak',                        'metrics/filter',     'weak'),
        (8, 'asked for their picture',            'metrics/download',   'rows'),
        (9, 'with a picture',                     'metrics/download',   'ok'),
        (10, 'annotated',                         'metrics/annotate',   'rows'),
        (11, 'with boxes',                        'metrics/annotate',   'boxed'),
        (12, 'stated positions hold',             'lake/boxes',         'counts.spatial_agree.true'),
        (13, 'in the training split',             'metrics/split',      'train')
)
select
    step,
    value::bigint as records,
    round(value / first_value(value) over (order by rank), 4) as share
from step join metrics using (file, name)
order by rank;
