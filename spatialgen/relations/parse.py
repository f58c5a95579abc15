"""`read_caption`: the relations that a Chinese caption states, and the things that it names.

Every position word is looked at where it stands. Before it, over 的, stands what it relates to
(箱子的左边, 苹果和梨之间, 画面左边). The subject stands behind (箱子左边有小猫, 箱子左边的猫) or,
where 在 comes first, before (小猫在箱子左边). A position word alone means its place in the picture
(左上角是灯笼), one of a pair (左边是猫，右边是狗), or is of what the clause before speaks of
(一辆火车停着，后面有一座小楼). The head of a Chinese noun phrase is its last noun. What can be
read in two ways, or is asked, denied or supposed, is left out: a relation that nobody stated costs
more than one that is missed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from spatialgen.relations.segment import Token, segment
from spatialgen.relations.words import (
    AFTER_SURROUNDING,
    DIAGONALS,
    LOCALISERS,
    OPPOSITE,
    PARTS,
    PLURAL,
    REGIONS,
    SILENT,
    Kind,
)

Names = tuple[str, ...]
MODIFIED = "MAND"  # parts that a noun phrase is made of: measures, modifiers, nouns, 的


@dataclass(frozen=True)
class Relation:
    """What a caption states: the subject is `kind` of the objects; of the picture, if none."""

    kind: Kind
    subject: str
    objects: Names = ()


@dataclass(frozen=True)
class Reading:
    """What is read in a caption; `names` are those of its relations first, then the others."""

    relations: tuple[Relation, ...]
    names: Names


@dataclass(frozen=True)
class Place:
    """A position word that stands alone, and what is there."""

    kind: Kind
    subjects: Names
    clause: int


@lru_cache(maxsize=8192)
def read_caption(caption: str) -> Reading:
    """The relations and names of a caption; both may be empty. Any text can be read."""
    clauses = [Clause(tokens) for tokens in segment(caption)]
    relations: list[Relation] = []
    places: list[Place] = []
    for number, clause in enumerate(clauses):
        for stated in clause.statements():
            if isinstance(stated, Relation):
                relations.append(stated)
            else:
                places.append(Place(*stated, number))
    relations += _among_places(places, clauses)
    relations = [each for each in dict.fromkeys(relations) if each.subject not in each.objects]
    heads = [name for clause in clauses for name in clause.heads]
    related = [name for each in relations for name in (each.subject, *each.objects)]
    return Reading(tuple(relations), tuple(dict.fromkeys([*related, *heads])))


class Clause:
    """The tokens between two stops."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.parts = "".join(token.part for token in tokens)

    @property
    def heads(self) -> list[str]:
        """Nouns that modify no noun."""
        return [
            token.text
            for place, token in enumerate(self.tokens)
            if token.part == "N" and not self.parts[place + 1 :].startswith("N")
        ]

    @property
    def silent(self) -> bool:
        """Whether nothing can be taken as stated."""
        return any(token.text in SILENT for token in self.tokens)

    def statements(self) -> "list[Relation | tuple[Kind, Names]]":
        """What each position word states: a relation, or that something is at such a place."""
        found: list[Relation | tuple[Kind, Names]] = []
        if self.silent:
            return found
        for place, part in enumerate(self.parts):
            if part == "L":
                found += self._at(place)
            elif part == "S":
                found += self._surrounding(place)
        return found

    def _at(self, place: int) -> "list[Relation | tuple[Kind, Names]]":
        kind = LOCALISERS[self.tokens[place].text]
        before = place - 1 if self.parts[:place].endswith("D") else place
        if self.parts[:before].endswith("W"):  # 画面的左边
            start = before - 1
            if kind not in PARTS:
                return []
            return [Relation(PARTS[kind], name) for name in self._subjects(start, place)]
        objects, start = self._objects(before, joined=kind == "between")
        if kind == "between" and len(objects) == 1 and not self._plural(before - 1):
            return []  # 桌子中间: on it, or in it
        if objects and self._surrounds(start) and kind in AFTER_SURROUNDING:
            return []  # said by the verb
        if self.parts[:start].endswith(("XP", "XVP")):  # 不在箱子上
            return []
        subjects = self._subjects(start, place)
        if not objects:
            return [(kind, subjects)] if subjects and self._stands_alone(place) else []
        return [each for name in subjects for each in _related(kind, name, objects)]

    def _stands_alone(self, place: int) -> bool:
        """左边有, 在左边, 左边一只: but not 向上, 它左边, 上一辆."""
        before, behind = self.parts[:place], self.parts[place + 1 :]
        counted = behind[:1] == "M" and len(self.tokens[place].text) > 1
        return before.endswith("P") or (before == "" and (counted or behind[:1] in ("H", "V", "D")))

    def _plural(self, noun: int) -> bool:
        """Whether a noun is counted as several: 两棵树."""
        begin = self._modified(noun)
        before = self.tokens[begin:noun]
        return any(token.part == "M" and token.text.startswith(PLURAL) for token in before)

    def _objects(self, end: int, *, joined: bool) -> tuple[Names, int]:
        """The nouns that end there (the last, or two that are `joined`), and where they begin."""
        if not self.parts[:end].endswith("N"):
            return (), end
        nouns, start = [self.tokens[end - 1].text], self._modified(end - 1)
        if joined and self.parts[:start].endswith("NC"):
            nouns.insert(0, self.tokens[start - 2].text)
            start = self._modified(start - 2)
        return tuple(nouns), start

    def _modified(self, noun: int) -> int:
        """Where the phrase of this noun begins: 在[婴儿车旁的石头]上, 在[铺着床单的床]上."""
        begin = len(self.parts[:noun].rstrip(MODIFIED))
        governor = self.parts.rfind("P", 0, noun)
        between = self.parts[governor + 1 : noun]
        if governor >= 0 and not re.search("[HWSC]|L(?!D)", between):
            return governor + 1
        return begin

    def _surrounds(self, start: int) -> bool:
        return "S" in self.parts[max(0, start - 3) : start]

    def _subjects(self, start: int, place: int) -> Names:
        """What is there: behind the position word, or before 在."""
        behind = self.parts[place + 1 :]
        if behind.startswith("D"):
            return () if behind.startswith("DH") else self.nouns(place + 2)
        governed = start > 0 and self.parts[start - 1] == "P"
        if governed and (subjects := self._nouns_before(start - 1)):
            return subjects
        return self.nouns(place + 1)

    def nouns(self, start: int) -> Names:
        """The heads of the first noun phrase from there on, and of those joined to it."""
        place = self._phrase(start)
        nouns: list[str] = []
        while place < len(self.tokens):
            end = self._run(place)
            heads = [token.text for token in self.tokens[place:end] if token.part == "N"]
            of_body = self.parts[:end].endswith("D") and self.parts[end : end + 1] == "B"
            if not heads or of_body or self.parts[end : end + 1] == "L":
                break  # 小猫的头, or of another position word
            nouns.append(heads[-1])
            if self.parts[end : end + 1] != "C":
                break
            place = end + 1
        return tuple(nouns)

    def _phrase(self, start: int) -> int:
        """Where the noun phrase begins: verbs before it are passed, and clauses that modify it."""
        place = start
        while place < len(self.tokens) and self.parts[place] in "VZHOMA":
            if self.parts[place] == "V":
                rest = self.parts[place:]
                end = min((rest.index(part) for part in "PHLC" if part in rest), default=len(rest))
                if "D" in rest[:end] and "N" in rest[rest[:end].rindex("D") :]:
                    return place + rest[:end].rindex("D") + 1  # 戴着帽子的女孩
            place += 1
        return place

    def _nouns_before(self, end: int) -> Names:
        """The first noun phrase before `end`, after the last 有 or position word there; none where
        another follows that may be meant: 妈妈看着孩子[在...]."""
        marks = [i for i in range(end) if self.parts[i] in "HLP"]
        begin = marks[-1] + 1 if marks else 0
        if re.search("N.*[VZ].*N$", self.parts[begin:end]):
            return ()
        return Clause(self.tokens[:end]).nouns(begin)

    def _surrounding(self, place: int) -> "list[Relation | tuple[Kind, Names]]":
        """一群人围着桌子."""
        behind = place + 1
        while behind < len(self.tokens) and self.parts[behind] in "VZP":
            behind += 1
        objects, subjects = Clause(self.tokens[behind:])._first(), self._nouns_before(place)
        return [Relation("around", name, objects[:1]) for name in subjects if objects]

    def _first(self) -> Names:
        """The head of the phrase that begins here, though a position word may follow."""
        run = self.tokens[: self._run(0)]
        return tuple(token.text for token in run if token.part == "N")[-1:]

    def _run(self, start: int) -> int:
        """Where the nouns from there on, and what modifies them, end."""
        return start + len(self.parts[start:]) - len(self.parts[start:].lstrip(MODIFIED))


def _related(kind: Kind, subject: str, objects: Names) -> list[Relation]:
    if kind in DIAGONALS:
        return [Relation(each, subject, objects[-1:]) for each in DIAGONALS[kind]]
    if kind == "center":
        return [Relation("in", subject, objects[-1:])]
    if kind == "between":  # 两棵树中间: one name, two things
        return [Relation(kind, subject, objects)]
    return [Relation(kind, subject, (name,)) for name in objects]


def _among_places(places: Sequence[Place], clauses: Sequence[Clause]) -> list[Relation]:
    """What position words that stand alone mean together."""
    found: list[Relation] = []
    paired: set[Place] = set()
    for first in places:
        partner = next(
            (
                other for other in places
                if other.clause > first.clause and other not in paired and first not in paired
                and _is_opposite(first.kind, other.kind)
            ),
            None,
        )  # fmt: skip
        if partner is None:
            continue
        paired |= {first, partner}
        found += [Relation(first.kind, a, (b,)) for a in first.subjects for b in partner.subjects]
        for middle in places:
            if middle.kind in ("between", "center") and middle not in paired:
                paired.add(middle)
                ends = (first.subjects[0], partner.subjects[0])
                found += [Relation("between", name, ends) for name in middle.subjects]
    for place in places:
        if place not in paired:
            found += _alone(place, clauses)
    return found


def _is_opposite(one: Kind, other: Kind) -> bool:
    return OPPOSITE.get(one) == other or OPPOSITE.get(other) == one


def _alone(place: Place, clauses: Sequence[Clause]) -> list[Relation]:
    """Of the picture, where it is a region; otherwise of what the clause before speaks of, if the
    place is named first: the 房子 in 房子左边有猫，右边有狗, the 教堂 in 教堂很高，上面有钟."""
    if place.kind in REGIONS:
        return [Relation(PARTS[place.kind], name) for name in place.subjects]
    if place.clause == 0 or place.kind == "between" or clauses[place.clause].parts[0] != "L":
        return []
    before = clauses[place.clause - 1]
    stated = [each for each in before.statements() if isinstance(each, Relation) and each.objects]
    of = before.nouns(0)
    if len(stated) == 1:
        (last,) = stated
        of = last.objects if _is_opposite(last.kind, place.kind) else (last.subject,)
    if len(of) != 1 or len(stated) > 1:
        return []
    return [each for name in place.subjects for each in _related(place.kind, name, of)]
