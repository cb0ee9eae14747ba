"""One annotation, one value: what every part of a session checks, and what it says when it refuses."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest

from voicelive_agent._session_fields import Fraction, JsonObject, Part, Rule, Text, between, json_copy, part_of
from voicelive_agent.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cat(Part):
    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "cat"
    lives: Annotated[int, between(1, 9, "lives")] = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Dog(Part):
    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "dog"
    name: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class House(Part):
    pet: Cat | Dog | JsonObject | None = None
    only_cat: Cat | JsonObject | None = None
    pets: Sequence[Cat | Dog | JsonObject] | None = None
    share: Fraction | None = None
    colour: Literal["red", "blue"] | None = None
    material: Literal["wood"] | None = None
    rooms: Annotated[Sequence[str], Rule("with at least one room", bool)] | None = None
    open: bool | None = None
    owners: Mapping[str, str] | None = None
    plan: Mapping[str, Any] | None = None
    alarm: str | None = field(default=None, repr=False)


class Colour(enum.Enum):
    RED = "red"


class Pet(enum.Enum):
    CAT = "cat"


class SdkModel(dict[str, Any]):
    """Like a model of the Azure SDK: what it means is what ``as_dict`` says."""

    def as_dict(self) -> dict[str, Any]:
        return {"type": "cat", "lives": 7}


REFUSED: Sequence[tuple[dict[str, Any], str]] = [
    ({"share": 1.5}, "House.share is 1.5; it must be a number between 0 and 1."),
    ({"share": float("nan")}, "House.share is nan; it must be a number between 0 and 1 or None."),
    ({"share": True}, "House.share is True; it must be a number between 0 and 1 or None."),
    ({"share": "half"}, "House.share is 'half'; it must be a number between 0 and 1 or None."),
    ({"colour": "rad"}, "House.colour is 'rad'; it must be one of 'red', 'blue' or None. Did you mean 'red'?"),
    ({"material": 1}, "House.material is 1; it must be 'wood' or None."),
    (
        {"rooms": "hall"},
        "House.rooms is 'hall'; it must be a list, each item text with at least one room or None.",
    ),
    ({"rooms": []}, "House.rooms is of type list; it must be a list, each item text with at least one room."),
    ({"rooms": ["hall", 2]}, "House.rooms[1] is 2; it must be text."),
    ({"open": 1}, "House.open is 1; it must be True or False or None."),
    ({"owners": {"a": 1}}, "House.owners['a'] is 1; it must be text."),
    ({"owners": ["a"]}, "House.owners is of type list; it must be a mapping or None."),
    ({"pet": 3}, "House.pet is 3; it must be Cat(...) or Dog(...) or a mapping or None."),
    ({"only_cat": Dog(name="Rex")}, "House.only_cat is of type Dog; it must be Cat(...) or a mapping or None."),
    ({"pet": {"lives": 3}}, "House.pet['type'] is None; it must be one of 'cat', 'dog'."),
    ({"pet": {"type": "cta"}}, "House.pet['type'] is 'cta'; it must be one of 'cat', 'dog'. Did you mean 'cat'?"),
    ({"pet": {"type": ["cat"]}}, "House.pet['type'] is of type list; it must be one of 'cat', 'dog'."),
    ({"only_cat": {"type": "dog"}}, "House.only_cat['type'] is 'dog'; it must be 'cat'."),
    ({"pet": {"type": "cat", "lives": 10}}, "Cat.lives is 10; it must be a whole number between 1 and 9 lives."),
    ({"pet": {"type": "cat", "live": 1}}, "Cat has no field 'live'; it has lives, type. Did you mean 'lives'?"),
    (
        {"pet": {"type": "cat", "wings": 2}},
        "Cat has no field 'wings'; it has lives, type. What this version does not know goes into",
    ),
    ({"pet": {"type": "dog"}}, "Dog needs 'name'."),
    ({"pet": {"type": "dog", "name": " "}}, "Dog.name is ' '; it must be text not empty."),
    ({"pets": [{"type": "cat"}, None]}, "House.pets[1] is None; it must be Cat(...) or Dog(...) or a mapping."),
    ({"alarm": 1234}, "House.alarm is of type int; it must be text or None."),
    ({"plan": {"a": {"b": [{1}]}}}, "House.plan.a.b[0] is of type set; it must be JSON: "),
    ({"plan": {"a": float("inf")}}, "House.plan.a is of type float; it must be JSON: "),
    ({"plan": {"a": {1: 2}}}, "a key of House.plan.a is 1; it must be text."),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=str)
def test_refuses_and_names_field_value_and_what_is_allowed(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        House(**fields)
    assert str(caught.value).startswith(message)


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ConfigurationError) as caught:
        House(colour="x" * 500)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


def test_what_could_hold_a_secret_is_never_shown() -> None:
    for fields in ({"alarm": b"1234"}, {"pet": ["1234"]}, {"share": {"code": "1234"}}, {"plan": {"a": {"1234"}}}):
        with pytest.raises(ConfigurationError) as caught:
            House(**fields)
        assert "1234" not in str(caught.value)
    assert "1234" not in repr(House(alarm="1234"))


def test_mappings_enums_and_sdk_models_become_parts() -> None:
    house = House(pet={"type": Pet.CAT}, only_cat=SdkModel(), pets=[{"type": "dog", "name": "Rex"}, Cat()])
    assert house.pet == Cat()
    assert house.only_cat == Cat(lives=7)
    assert house.pets == (Dog(name="Rex"), Cat())
    assert House(colour=Colour.RED).colour == "red"  # type: ignore[arg-type]
    assert House(only_cat={"lives": 2}).only_cat == Cat(lives=2)


def test_to_dict_is_plain_json_with_the_tag_and_without_what_is_not_set() -> None:
    house = House(pet=Dog(name="Rex"), pets=(Cat(),), rooms=("hall",), owners={"a": "b"}, open=False)
    assert house.to_dict() == {
        "pet": {"type": "dog", "name": "Rex"},
        "pets": [{"type": "cat", "lives": 9}],
        "rooms": ["hall"],
        "open": False,
        "owners": {"a": "b"},
    }
    assert part_of(House, house.to_dict()) == house


def test_nothing_the_caller_holds_can_change_a_part() -> None:
    rooms, plan = ["hall"], {"walls": [1, 2]}
    house = House(rooms=rooms, plan=plan)
    rooms.append("attic")
    plan["walls"].append(3)
    house.to_dict()["plan"]["walls"].clear()
    assert house == House(rooms=("hall",), plan={"walls": [1, 2]})
    with pytest.raises(FrozenInstanceError):
        house.open = True  # type: ignore[misc]


def test_absent_replaces_defaults_of_what_a_mapping_does_not_mention() -> None:
    assert part_of(House, {"open": True}, colour="red", open=False) == House(open=True, colour="red")


def test_json_copy_takes_parts_enums_and_sdk_models() -> None:
    value = {"a": (Cat(), Colour.RED, None, True, 1.5), "b": SdkModel()}
    copied = {"a": [{"type": "cat", "lives": 9}, "red", None, True, 1.5], "b": {"type": "cat", "lives": 7}}
    assert json_copy(value, "x") == copied
