"""Samples and labels of networks with several inputs or outputs: lists and dictionaries of arrays, as Keras takes them.

A tree is an array, or a list, tuple or dictionary of trees. The first axis of each array is the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

Tree = Any
"""An array, or a list, tuple or dictionary of trees."""


def is_tree(value: object) -> bool:
    """Return whether a value holds several arrays: a dictionary, or a list of arrays (not of numbers)."""
    return isinstance(value, Mapping) or (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(is_tree(one) or getattr(one, "ndim", 0) for one in value)
    )


def as_tree(value: Any) -> Tree:
    """Return a value with NumPy arrays as leaves, and tuples, which `tf.data` demands, in place of lists."""
    if isinstance(value, Mapping):
        return {key: as_tree(one) for key, one in value.items()}
    return tuple(as_tree(one) for one in value) if is_tree(value) else np.asarray(value)


def map_tree(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return a tree of the same form with a function of each array."""
    if isinstance(tree, Mapping):
        return {key: map_tree(function, one) for key, one in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_tree(function, one) for one in tree)
    return function(tree)


def take_rows(tree: Tree, rows: Any) -> Tree:
    """Return the samples at a slice or at indices, in a tree of the same form."""
    return map_tree(lambda array: array[rows], tree)


def iterate_leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a tree with their names, such as `x`, `x[0]` or `x['image']`; dictionaries by sorted keys.

    Args:
        tree: The tree.
        name: Name of the tree itself.
    """
    if isinstance(tree, Mapping):
        for key in sorted(tree, key=str):
            yield from iterate_leaves(tree[key], f"{name}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for i, one in enumerate(tree):
            yield from iterate_leaves(one, f"{name}[{i}]")
    else:
        yield name, tree


def leaves_of(tree: Tree) -> list[Any]:
    """Return the arrays of a tree, dictionaries by sorted keys."""
    return [leaf for _, leaf in iterate_leaves(tree)]


def length_of(tree: Tree) -> int:
    """Return the number of samples in a tree."""
    return len(leaves_of(tree)[0])


def concatenate_trees(trees: list[Tree]) -> Tree:
    """Join trees of the same form along the sample axis."""
    if isinstance(trees[0], Mapping):
        return {key: concatenate_trees([tree[key] for tree in trees]) for key in trees[0]}
    if isinstance(trees[0], (list, tuple)):
        return tuple(concatenate_trees(list(parts)) for parts in zip(*trees, strict=True))
    return np.concatenate(trees)
