-- Are at least 60 % of the selected captions truly spatial?
-- As the labelled captions of filter.gold say that are candidates themselves; not measured without.
-- kind = value
-- min = 0.6
select max(value) as spatial_share
from metrics
where file = 'metrics/filter' and name = 'spatial_share.value';
