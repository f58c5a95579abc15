-- Are classes, probabilities, sizes and digests what their columns promise?
-- source: the table; row_id or sha256: the row; what: the promise that it breaks.
-- param download_min_side = 128
-- kind = rows
-- tolerated = 0
select 'captions' as source, row_id, null as sha256, 'spatial_type is strong, weak, none, or null with an error' as what
from captions
where coalesce(spatial_type in ('strong', 'weak', 'none'), false) = (error is not null)
union all
select 'captions', row_id, null, 'probabilities are in 0..1 and sum to 1'
from captions
where error is null
  and not coalesce(least(p_strong, p_weak, p_none) >= 0 and abs(p_strong + p_weak + p_none - 1) < 0.01, false)
union all
select 'images', null, sha256, 'sha256 is 64 hex digits'
from images where not regexp_full_match(sha256, '[0-9a-f]{64}')
union all
select 'images', null, sha256, 'no side is below download.min_side'
from images where least(width, height) < $download_min_side
union all
select 'splits', row_id, null, 'split is train, val or test'
from splits where split not in ('train', 'val', 'test');
