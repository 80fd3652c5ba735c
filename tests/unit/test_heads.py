"""Laws of heads, their grammar and their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.errors import RequestError
from headscope.heads import Head, HeadSet, every_head

SHAPE = (12,) * 12


@pytest.mark.parametrize(
    ("spec", "canonical"),
    [
        ("1:10", "1:10"),
        ("L1H10", "1:10"),
        ("3:2,1:10", "1:10,3:2"),
        (" 1:10 , 3:2 ", "1:10,3:2"),
        ("3:0-2", "3:0,3:1,3:2"),
    ],
)
def test_a_spec_reads_as_its_canonical_form(spec, canonical):
    assert str(HeadSet.parse(spec, SHAPE)) == canonical


def test_a_star_is_a_layer_or_the_model():
    assert len(HeadSet.parse("7:*", SHAPE)) == 12
    assert HeadSet.parse("*", (2, 3)).heads == every_head((2, 3))


@pytest.mark.parametrize("spec", ["", "1", "1:", ":1", "a:b", "1:2:3", "1:-1", "-1:0", "1.0:2", "1:10,", "1:٣x"])
def test_a_malformed_spec_is_refused_with_the_grammar(spec):
    with pytest.raises(RequestError, match="expected: heads as"):
        HeadSet.parse(spec, SHAPE)


@pytest.mark.parametrize("spec", ["12:0", "0:12", "99:*", "11:10-12"])
def test_a_head_out_of_range_is_named_with_the_models_shape(spec):
    with pytest.raises(RequestError, match=r"model has 12 layers of 12 heads; .* does not exist"):
        HeadSet.parse(spec, SHAPE)


@pytest.mark.parametrize("spec", ["1:10,1:10", "1:10,L1H10", "3:0-5,3:2", "7:*,7:0", "3:5-2"])
def test_a_head_twice_or_a_range_backwards_is_an_error(spec):
    with pytest.raises(RequestError):
        HeadSet.parse(spec, SHAPE)


@given(st.text("0123456789:-,*LH ", max_size=12) | st.text(max_size=8))
def test_any_text_is_a_set_inside_the_model_or_refused(spec):
    try:
        parsed = HeadSet.parse(spec, (2, 3))
    except RequestError as error:
        assert "expected" in str(error) or "twice" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert set(parsed.heads) <= set(every_head((2, 3)))
        assert HeadSet.parse(str(parsed), (2, 3)) == parsed


heads = st.builds(Head, st.integers(0, 11), st.integers(0, 11))


@given(st.lists(heads, min_size=1, unique=True))
def test_spec_and_set_round_trip(chosen):
    made = HeadSet.of(chosen)
    assert HeadSet.parse(str(made), SHAPE) == made
    assert HeadSet.parse(",".join(head.name for head in chosen), SHAPE) == made


@given(st.lists(heads, min_size=1, unique=True), st.lists(heads, min_size=1, unique=True))
def test_mistake_9_two_sets_never_share_a_file_name(first, second):
    a, b = HeadSet.of(first), HeadSet.of(second)
    assert (a.slug == b.slug) == (a == b)


def test_mistake_9_head_1_10_and_head_11_0_have_different_file_names():
    assert HeadSet.parse("1:10", SHAPE).slug == "1_10"
    assert HeadSet.parse("11:0", SHAPE).slug == "11_0"
