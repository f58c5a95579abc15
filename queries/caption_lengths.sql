-- How long are the captions, and are the spatial ones longer?
-- length: lower end of the bin, characters (the last bin holds all that are longer); captions: judged
-- ones of that length; strong, weak, none: of these, by class; share: of all judged captions.
-- param bin = 4
-- param longest = 100
select
    least(length(caption) // $bin * $bin, $longest // $bin * $bin) as length,
    count(*) as captions,
    count(*) filter (spatial_type = 'strong') as strong,
    count(*) filter (spatial_type = 'weak') as weak,
    count(*) filter (spatial_type = 'none') as none,
    round(count(*) / sum(count(*)) over (), 4) as share
from captions
group by all
order by length;
