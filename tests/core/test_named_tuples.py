"""Our named tuples do what those of `typing` do."""

from __future__ import annotations

import copy
import pickle
from typing import NamedTuple as Typings

import pytest

from torc_migrations.values import NamedTuple


class Ours(NamedTuple):
    """A value of ours."""

    one: int
    two: str = "b"
    three: tuple[int, ...] = ()

    @property
    def both(self) -> str:
        """The first two."""
        return f"{self.one}{self.two}"


class Theirs(Typings):
    """The same, of `typing`."""

    one: int
    two: str = "b"
    three: tuple[int, ...] = ()


GIVEN = [((1,), {}), ((1, "x"), {}), ((1, "x", (2,)), {}), ((), {"one": 1}), ((1,), {"three": (3,)})]


@pytest.mark.parametrize(("values", "named"), GIVEN)
def test_values_are_given_by_place_by_name_or_not_at_all(values, named):
    """What is not given has its default."""
    assert Ours(*values, **named) == Theirs(*values, **named)


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, "x", (), 4), {}), ((1,), {"one": 1}), ((1,), {"four": 4}), ((), {"two": "x"})]
)
def test_what_does_not_fit_is_refused(values, named):
    """Too few, too many, twice, or by a name that there is not."""
    with pytest.raises(TypeError):
        Theirs(*values, **named)
    with pytest.raises(TypeError, match="Ours"):
        Ours(*values, **named)


def test_a_value_is_a_tuple_with_names():
    """Its fields are read by name and by place, and are not written."""
    value = Ours(1, "x")

    assert (value.one, value[1], value.both) == (1, "x", "1x")
    assert repr(value) == repr(Theirs(1, "x")).replace("Theirs", "Ours")
    assert value._replace(two="y") == (1, "y", ())
    assert value._asdict() == Theirs(1, "x")._asdict()
    assert Ours._make([1, "x", ()]) == value
    assert hash(value) == hash(Theirs(1, "x"))
    with pytest.raises(AttributeError):
        value.one = 2
    with pytest.raises(AttributeError):
        value.four = 4


def test_a_value_can_be_copied_and_sent():
    """It is the same in another process."""
    value = Ours(1, "x")

    for twin in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert twin == value
        assert type(twin) is Ours


def test_a_value_can_be_matched():
    """`match` knows its fields, and the class what it is."""
    match Ours(1, "x"):
        case Ours(one, two):
            assert (one, two) == (1, "x")
        case _:
            pytest.fail("it does not match")
    assert Ours.__doc__ == "A value of ours."
    assert Ours.__module__ == __name__
    assert Ours._fields == Theirs._fields
