-- Which pictures look alike, by their perceptual hash?
-- picture, alike: two of them, by sha256; distance: bits that differ, of 64, at most $distance;
-- pairs: how many there are in all; size: width x height. Two hashes that differ in at most 3 bits
-- agree in one of four parts of 16, so only pictures that share a part are compared (a larger
-- $distance finds not all of them); parts that more than 1000 pictures share (flat colours) are
-- left out.
-- param distance = 3
-- param limit = 50
with part as (
    select sha256, phash, number, (phash >> (16 * number)) & 65535 as bits
    from images cross join (values (0), (1), (2), (3)) as parts(number)
    where phash is not null
    qualify count(*) over (partition by number, bits) <= 1000
), pair as (
    select distinct
        a.sha256 as picture, b.sha256 as alike, bit_count(xor(a.phash, b.phash)) as distance
    from part as a join part as b
        on a.number = b.number and a.bits = b.bits and a.sha256 < b.sha256
    where bit_count(xor(a.phash, b.phash)) <= $distance
)
select
    distance,
    picture,
    alike,
    (select count(*) from pair) as pairs,
    a.width || 'x' || a.height as size,
    b.width || 'x' || b.height as alike_size
from pair
join images as a on a.sha256 = picture
join images as b on b.sha256 = alike
order by distance, picture, alike
limit $limit;
