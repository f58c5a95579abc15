-- How large are the pictures, in bytes and pixels?
-- One line per format, and one for all. MB, kB: 1e6 and 1e3 bytes; mean; p05, p50, p95: quantiles;
-- side: the shorter one, pixels; mean_aspect: width over height.
select
    coalesce(format, 'all') as format,
    count(*) as pictures,
    round(sum(n_bytes) / 1e6, 1) as MB,
    round(avg(n_bytes) / 1e3, 1) as mean_kB,
    round(quantile_cont(n_bytes, 0.05) / 1e3, 1) as p05_kB,
    round(quantile_cont(n_bytes, 0.5) / 1e3, 1) as p50_kB,
    round(quantile_cont(n_bytes, 0.95) / 1e3, 1) as p95_kB,
    quantile_disc(least(width, height), 0.05) as p05_side,
    quantile_disc(least(width, height), 0.5) as p50_side,
    quantile_disc(least(width, height), 0.95) as p95_side,
    round(avg(width / height), 2) as mean_aspect
from images
group by rollup (format)
order by pictures desc, format = 'all';
