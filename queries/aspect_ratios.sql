-- What shapes do the pictures have, from tall to wide?
-- aspect: width / height at the middle of the bin, which is a factor of 1.19 (2^(1/4)) wide, so that
-- 1:2 and 2:1 lie as far from a square; the first and the last bin hold what is beyond 1:4 and 4:1;
-- share: of all pictures.
select
    round(2 ** (least(greatest(round(4 * log2(width / height)), -8), 8) / 4), 2) as aspect,
    count(*) as pictures,
    round(count(*) / sum(count(*)) over (), 4) as share
from images
group by aspect
order by aspect;
