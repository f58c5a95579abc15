-- How many pixels have the pictures on their shorter side?
-- side: lower end of the bin, pixels (the last bin holds all that are larger); pictures: in it;
-- share: of all pictures; at_least: share with this shorter side or a larger one, which is what
-- download.min_side would keep.
-- param bin = 64
-- param largest = 2048
with binned as (
    select
        least(least(width, height) // $bin * $bin, $largest // $bin * $bin) as side,
        count(*) as pictures
    from images
    group by side
)
select
    side,
    pictures,
    round(pictures / sum(pictures) over (), 4) as share,
    round(sum(pictures) over (order by side desc) / sum(pictures) over (), 4) as at_least
from binned
order by side;
