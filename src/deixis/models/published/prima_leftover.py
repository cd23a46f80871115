"""SQuARE in a release whose names nobody knows: what is left over, told apart by name and shape.

Two tensors of one shape that neither their names (query, key, value, out in any usual spelling)
nor their numbers tell apart are an error that shows both; nothing is guessed (specification 6.1).

Shapes: Q queries, E Q-Former width, C feature width, D language width.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deixis.errors import WeightsError
from deixis.models.published.prima_keys import Piece, Shape, bare

ROLES = {
    "query": r"q|query|queries|wq|w_q|to_q|toq|q_proj|q_lin|q_linear|linear_q|lin_q|fc_q|proj_q"
    r"|query_proj|query_layer|q_proj_weight",
    "key": r"k|key|keys|wk|w_k|to_k|tok|k_proj|k_lin|k_linear|linear_k|lin_k|fc_k|proj_k|key_proj"
    r"|key_layer|k_proj_weight",
    "value": r"v|value|values|wv|w_v|to_v|tov|v_proj|v_lin|v_linear|linear_v|lin_v|fc_v|proj_v"
    r"|value_proj|value_layer|v_proj_weight",
    "output": r"o|out|output|wo|w_o|to_out|o_proj|out_proj|out_lin|out_linear|linear_o|linear_out"
    r"|lin_o|fc_o|fc_out|proj_o|proj_out|proj|dense|output_proj|out_layer",
}
ORDER = tuple(ROLES)  # in which a list of layers has them
LAYER = "relation.relation.layers.{}.attention."


@dataclass(slots=True)
class Leftover:
    """Tensors that the table does not explain, and what they turn out to be.

    Attributes:
        shapes: of the tensors that are not told yet, by name.
        where: the release, for errors.
        pieces: what has been told, by our name.
    """

    shapes: dict[str, Shape]
    where: str
    pieces: dict[str, Piece] = field(default_factory=dict)

    def take(self, target: str, *names: str, how: str = "copy", keep: bool = False) -> None:
        """Note what fills a tensor of ours."""
        self.pieces[target] = Piece(target=target, names=names, how=how)
        for name in names:
            if not keep:
                self.shapes.pop(name, None)

    def of_shape(self, *shapes: Shape) -> list[str]:
        """Return the names of tensors of one of these shapes."""
        return [name for name, shape in self.shapes.items() if shape in shapes]

    def refuse(self, what: str, names: Sequence[str]) -> WeightsError:
        """Return the error that two or more names cannot be told apart."""
        shown = ", ".join(f"{name} {self.shapes[name]}" for name in names)
        return WeightsError(
            f"{self.where}: {what}: expected names or numbers that tell them apart, got {shown}. "
            f"Rename them with q, k, v or out in their names."
        )


def tell_square(
    shapes: Mapping[str, Shape],
    where: str,
    *,
    count: int,
    widths: tuple[int, int, int],
    known: bool,
) -> tuple[dict[str, Piece], list[str], int]:
    """Find SQuARE, and the projector if the table did not.

    Args:
        shapes: of all tensors that the table does not explain.
        where: the release, for errors.
        count: Q. widths: E, C, D.
        known: whether the global queries are found already.

    Returns:
        Pieces by target, what is still not explained, and the number of relational layers (0
        where there are no relational queries at all).

    Raises:
        WeightsError: candidates that cannot be told apart, or an attention with parts missing.
    """
    left = Leftover(dict(shapes), where)
    width, features, language = widths
    _projector(left, (language, width))
    if not _queries(left, count, width, known=known):
        return left.pieces, list(left.shapes), 0
    groups = _by_layer(left, width, features)
    for layer, group in enumerate(groups):
        _attention(left, group, layer, width, features)
        _pre_norm(left, group, layer, width)
    if groups:
        _nothing_more(left, groups)
    else:
        raise WeightsError(
            f"{where}: expected a relational attention of {width} and {features} wide weights "
            f"beside its queries, got none. Give the checkpoint whole."
        )
    return left.pieces, list(left.shapes), len(groups)


def _pre_norm(left: Leftover, names: Sequence[str], layer: int, width: int) -> None:
    """Take a norm whose name says that it stands before the attention."""
    for name in left.of_shape((width,)):
        module, _, what = bare(name).rpartition(".")
        beside = module.rpartition(".")[0] in (_owner(names[0]), _parent(names[0]))
        if beside and re.search(r"(?:^|\.)(?:pre_?norm|norm_?q|q_norm|ln_?q|query_norm)$", module):
            left.take(f"relation.relation.layers.{layer}.norm.{what}", name)


def _parent(name: str) -> str:
    return _owner(name).rpartition(".")[0]


def _nothing_more(left: Leftover, groups: Sequence[Sequence[str]]) -> None:
    """Refuse a relational attention with parts that ours would silently leave out.

    Raises:
        WeightsError: a norm at a place that its name does not say, a feed-forward, and the like.
    """
    owners = {_owner(names[0]) for names in groups} | {_parent(names[0]) for names in groups}
    roots = tuple(f"{owner}." for owner in owners if re.search(r"[a-z]{3}", owner.split(".")[-1]))
    more = [n for n in left.shapes if roots and bare(n).startswith(roots) and not _shallow(n)]
    if more:
        raise WeightsError(
            f"{left.where}: relational attention: expected query, key, value and out, with a "
            f"norm before it at most, got also {', '.join(more)}. These would be left out."
        )


def _shallow(name: str) -> bool:
    """Say whether a tensor hangs at the top of a release, and so belongs to no module."""
    return bare(name).count(".") < 2


def _projector(left: Leftover, shape: Shape) -> None:
    """Take the one weight that leads from the Q-Former to the language decoder."""
    found = left.of_shape(shape)
    if len(found) > 1:
        raise left.refuse("projection", found)
    if found:
        left.take("projection.weight", found[0])
        bias = found[0].removesuffix("weight") + "bias"
        if bias in left.shapes:
            left.take("projection.bias", bias)


def _queries(left: Leftover, count: int, width: int, *, known: bool) -> bool:
    """Take the relational queries, and the global ones where no table knew them."""
    found = left.of_shape((1, count, width), (count, width))
    related = [name for name in found if re.search(r"rel|square", name, re.IGNORECASE)]
    if not found:
        return False
    if not known and len(found) == 2 and len(related) == 1:
        other = next(name for name in found if name not in related)
        left.take("relation.queries", other, how="queries")
        found = related
    if len(found) > 1 and len(related) == 1:
        found = related
    if len(found) > 1:
        raise left.refuse("relational queries", found)
    if not known and "relation.queries" not in left.pieces:
        raise WeightsError(
            f"{left.where}: expected global and relational queries ({count}, {width}), got one: "
            f"{found[0]}. Give the checkpoint whole."
        )
    left.take("relation.relation.queries", found[0], how="queries")
    return True


def _by_layer(left: Leftover, width: int, features: int) -> list[list[str]]:
    """Return the names of each relational layer's attention, layers in order."""
    wide = {(width, width), (width, features), (3 * width, width)}
    owners: dict[str, list[str]] = {}
    for name in left.of_shape(*wide):
        owners.setdefault(_owner(name), []).append(name)
    return [owners[key] for key in sorted(owners, key=_numbers)]


def _owner(name: str) -> str:
    """Return the module that holds an attention's layers: the name without its role."""
    parts = bare(name).removesuffix(".weight").split(".")
    if len(parts) > 1 and parts[-1].isdigit() and _role(parts[-2]):
        parts = parts[:-1]  # to_out.0
    return ".".join(parts[:-1])


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _role(part: str) -> str | None:
    matches = [role for role, words in ROLES.items() if re.fullmatch(words, part.lower())]
    return matches[0] if matches else None


def _role_of(name: str) -> str | None:
    parts = bare(name).removesuffix(".weight").split(".")
    if parts[-1].isdigit() and len(parts) > 1:
        return _role(parts[-2])
    return _role(parts[-1])


def _attention(
    left: Leftover, names: Sequence[str], layer: int, width: int, features: int
) -> None:
    """Take the weights and biases of one attention."""
    goal, owner = LAYER.format(layer), _owner(names[0])
    joint = [name for name in names if left.shapes[name] == (3 * width, width)]
    roles = _roles(left, [name for name in names if name not in joint], width, features)
    if joint and width == features:
        for number, role in enumerate(ORDER[:3]):
            left.take(f"{goal}{role}.weight", joint[0], how=f"third:{number}", keep=True)
    for role, name in roles.items():
        left.take(f"{goal}{role}.weight", name)
    missing = [role for role in ORDER if f"{goal}{role}.weight" not in left.pieces]
    if missing:
        raise WeightsError(
            f"{left.where}: {owner}: expected an attention with query, key, value and out, got "
            f"none for {', '.join(missing)} among {', '.join(names)}. Give the checkpoint whole."
        )
    _biases(left, goal, owner, width)
    for name in joint:
        left.shapes.pop(name, None)


def _biases(left: Leftover, goal: str, owner: str, width: int) -> None:
    """Take each layer's bias; an attention without has zeros for ours."""
    shared = [n for n in left.of_shape((3 * width,)) if _owner_of_bias(n) == owner]
    for number, role in enumerate(ORDER):
        weight = left.pieces[f"{goal}{role}.weight"].names[0]
        own = re.sub(r"weight$", "bias", weight)
        if own != weight and own in left.shapes:
            left.take(f"{goal}{role}.bias", own)
        elif shared and role != "output":
            left.take(f"{goal}{role}.bias", shared[0], how=f"third:{number}", keep=True)
        else:
            left.take(f"{goal}{role}.bias", weight, how="zeros", keep=True)
    for name in shared:
        left.shapes.pop(name, None)


def _owner_of_bias(name: str) -> str:
    return bare(name).rpartition(".")[0]


def _roles(
    left: Leftover, names: Sequence[str], width: int, features: int
) -> dict[str, str]:
    """Return role -> name of the weights of one attention.

    Names decide; then what is left of each shape; then, where all are numbered, their order.
    """
    roles: dict[str, str] = {}
    unclear: list[str] = []
    for name in names:
        role = _role_of(name)
        if role in roles:
            raise left.refuse(f"relational attention: {role}", [roles[role], name])
        if role is None:
            unclear.append(name)
        else:
            roles[role] = name
    if len(unclear) == len(names) == len(ORDER) and _numbered(unclear):
        ordered = dict(zip(ORDER, sorted(unclear, key=_numbers), strict=True))
        if all(left.shapes[n] == _shape(r, width, features) for r, n in ordered.items()):
            return ordered
    for name in unclear:
        open_roles = [
            role
            for role in ORDER
            if role not in roles and _shape(role, width, features) == left.shapes[name]
        ]
        rivals = [n for n in unclear if left.shapes[n] == left.shapes[name]]
        if len(open_roles) != 1 or len(rivals) != 1:
            raise left.refuse("relational attention", rivals if len(rivals) > 1 else [name])
        roles[open_roles[0]] = name
    return roles


def _numbered(names: Sequence[str]) -> bool:
    """Say whether names differ in a number only."""
    return len({re.sub(r"\d+", "#", name) for name in names}) == 1


def _shape(role: str, width: int, features: int) -> Shape:
    return (width, features if role in ("key", "value") else width)
