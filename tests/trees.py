"""Trees of metas that share their children, drawn or spelled out."""

from hypothesis import strategies as st

from sleevegraph.manifest import MetaProfile
from sleevegraph.meta_book import subtree


def meta(name: str, *children: str) -> MetaProfile:
    return MetaProfile(name=name, children=children, weight_min=0.0, weight_max=1.0)


SHARED = (meta("top", "left", "right", "s"), meta("left", "s", "right"), meta("right", "s", "t"))
"""`s` stands below all three metas, and `right` below two."""


@st.composite
def nested(draw: st.DrawFn) -> list[MetaProfile]:
    """Metas on up to four levels that share children, the root first."""
    levels = [["m"], *([f"m{i}{j}" for j in range(draw(st.integers(1, 3)))] for i in range(draw(st.integers(0, 3))))]
    sleeves = [f"s{i}" for i in range(draw(st.integers(2, 6)))]
    metas = []
    for level, names in enumerate(levels):
        below = [name for later in levels[level + 1 :] for name in later] + sleeves
        metas += [meta(name, *sorted(draw(st.sets(st.sampled_from(below), min_size=2)))) for name in names]
    return subtree(metas[0], metas)
