import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spatialgen.fetch.reasons import Reason
from spatialgen.fetch.urls import MAX_CHARACTERS, VALID, UnfitURLError, host_of, parse_url

SIGNED = (
    "http://gimg2.baidu.com/image_search/src=http%3A%2F%2Fimg.zcool.cn%2Fa.jpg"
    "&refer=http%3A%2F%2Fwww.zcool.cn&app=2002&size=f9999,10000?sec=1620000000&t=0a1b"
)


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        (SIGNED, SIGNED),
        ("http://u.cn/it/u=1,2&fm=26&gp=0.jpg", "http://u.cn/it/u=1,2&fm=26&gp=0.jpg"),
        (f"  {SIGNED}\n", SIGNED),
        ("//a.com/x.jpg", "https://a.com/x.jpg"),
        ("http://a.com/?a=1&amp;b=2&AMP;c=3", "http://a.com/?a=1&b=2&c=3"),
        ("http://a.com/?a=1&#38;b=2", "http://a.com/?a=1&b=2"),
        ("http://a.com/?a=1&copy=2", "http://a.com/?a=1&copy=2"),
        ("http://a.com/?x=1&amp;y=2&copy=3&sect=4", "http://a.com/?x=1&y=2&copy=3&sect=4"),
        (
            "http://a.com/图片/中 文.jpg",
            "http://a.com/%E5%9B%BE%E7%89%87/%E4%B8%AD%20%E6%96%87.jpg",
        ),
        ("http://图片.中国/a.jpg", "http://xn--wcsw84d.xn--fiqs8s/a.jpg"),
        ("HTTP://A.com/B.jpg", "http://a.com/B.jpg"),
        ("http://a.com/x#top", "http://a.com/x"),
        ("http://a.com", "http://a.com/"),
        ("http://a.com?x=1", "http://a.com/?x=1"),
        ("http://a.com:80/x", "http://a.com/x"),
        ("http://a.com:443/x", "http://a.com:443/x"),
        ("http://a.com/a\tb\nc", "http://a.com/a%09b%0Ac"),
        ("http://[2606:4700::1111]/x", "http://[2606:4700::1111]/x"),
    ],
)
def test_a_url_is_changed_only_where_it_is_invalid(text: str, requested: str) -> None:
    assert str(parse_url(text)) == requested


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file:///etc/passwd", Reason.bad_scheme),
        ("ftp://a.com/x.jpg", Reason.bad_scheme),
        ("javascript:alert(1)", Reason.bad_scheme),
        ("data:image/png;base64,AAAA", Reason.bad_scheme),
        ("gopher://a.com/", Reason.bad_scheme),
        ("", Reason.bad_url),
        ("a.jpg", Reason.bad_url),
        ("/images/a.jpg", Reason.bad_url),
        ("http://", Reason.bad_url),
        ("http:///x.jpg", Reason.bad_url),
        ("http:a.com/x", Reason.bad_url),
        ("http://a b.com/", Reason.bad_url),
        ("http://a.com\\@b.com/", Reason.bad_url),
        ("http://user@a.com/x", Reason.bad_url),
        ("http://user:secret@127.0.0.1/x", Reason.bad_url),
        ("http://a.com:99999/", Reason.bad_url),
        ("http://a.com:port/", Reason.bad_url),
        ("http://[::1/x", Reason.bad_url),
        ("http://a.com:22/", Reason.bad_port),
        ("http://a.com:8080/x.jpg", Reason.bad_port),
        ("http://a.com/" + "x" * MAX_CHARACTERS, Reason.bad_url),
    ],
)
def test_what_is_no_url_is_not_requested(text: str, reason: Reason) -> None:
    with pytest.raises(UnfitURLError) as raised:
        parse_url(text)
    assert raised.value.reason is reason
    assert str(raised.value)
    assert host_of(text) == ""


@given(st.text(st.sampled_from(VALID.replace("#", "").replace("&", "")), max_size=80))
def test_a_valid_path_is_sent_as_it_stands(path: str) -> None:
    assume(not path.endswith("?"))  # an empty query is none
    assert str(parse_url(f"http://a.com/{path}")) == f"http://a.com/{path}"


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_reason_and_a_url_is_stable(text: str) -> None:
    for given_text in (text, f"http://a.com/{text}", f"http://{text}/x"):
        try:
            url = parse_url(given_text)
        except UnfitURLError:
            continue
        assert str(url).isascii()
        assert not set(str(url)) & set(" \r\n\t")
        assert url.scheme in ("http", "https")
        assert str(parse_url(str(url))) == str(url)
