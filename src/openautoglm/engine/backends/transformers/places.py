"""Which positions of each row are real, and the keys and values there.

Owns `Places`. Rows stand right-aligned: the shorter ones begin with padding, which the mask hides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import DynamicCache

_PLAIN: Final = {DynamicLayer, DynamicSlidingWindowLayer}


@final
class Places:
    """The state of rows that decode together; it is changed in place.

    Args:
        mask: [rows, positions], 1 where a position is real.
        cache: keys and values of these positions.
    """

    def __init__(self, mask: torch.Tensor, cache: DynamicCache) -> None:
        self.mask = mask
        self.cache = cache
        self.is_padded = not bool(mask.all())

    @property
    def is_plain(self) -> bool:
        """Whether the cache is of kinds whose positions can be cut and joined."""
        return all(type(layer) in _PLAIN for layer in self.cache.layers)

    @property
    def longest(self) -> int:
        """Positions of the longest row."""
        return int(self.mask.shape[1])

    def has_space(self, count: int) -> bool:
        """Whether no layer with a window forgets anything within so many more positions."""
        layers = self.cache.layers
        windows = [each for each in layers if isinstance(each, DynamicSlidingWindowLayer)]
        return all(each.cumulative_length + count < each.sliding_window for each in windows)

    def grow(self, counts: Sequence[int]) -> None:
        """Make room for so many more tokens of each row, at the right; the rest is a gap."""
        longest = max(counts)
        more = torch.arange(longest, 0, -1) <= torch.tensor(counts).unsqueeze(1)
        self.mask = torch.cat([self.mask, more.to(self.mask)], dim=1)
        self.is_padded = self.is_padded or min(counts) < longest

    def close(self, counts: Sequence[int]) -> None:
        """Move what rows had up to the tokens they got, so that there is no gap before these.

        Raises:
            TypeError: the cache is not plain.
        """
        longest = max(counts)
        if min(counts) == longest:
            return
        if not self.is_plain:
            raise TypeError("the positions of this cache cannot be moved")
        layers = [layer for layer in self.cache.layers if layer.is_initialized]
        with torch.inference_mode():
            for count in sorted(set(counts) - {longest}):
                rows = [index for index, each in enumerate(counts) if each == count]
                for layer in layers:
                    _move(layer.keys, rows, longest - count, count)
                    _move(layer.values, rows, longest - count, count)
                _move(self.mask.unsqueeze(1).unsqueeze(3), rows, longest - count, count)
                self.mask[rows, : longest - count] = 0
        self._trim(int(self.mask.any(dim=0).int().argmax()))
        self.is_padded = not bool(self.mask.all())

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows, and the positions that only they had."""
        if len(rows) == self.mask.shape[0]:
            return
        indices = torch.tensor(rows, device=self.mask.device)
        self.mask = self.mask[indices]
        self.cache.batch_select_indices(indices)
        if self.is_padded and self.is_plain:
            self._trim(int(self.mask.any(dim=0).int().argmax()))
        self.is_padded = not bool(self.mask.all())

    def join(self, other: Places) -> None:
        """Add the rows of another batch behind these.

        Raises:
            TypeError: a cache is not plain.
        """
        if not (self.is_plain and other.is_plain):
            raise TypeError("the positions of this cache cannot be joined")
        longest = max(self.longest, other.longest)
        masks = [pad(each.mask, (longest - each.longest, 0)) for each in (self, other)]
        self.mask = torch.cat(masks)
        for ours, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            if ours.is_initialized:  # layers that use another's keys never are
                _join(ours, theirs)
        self.is_padded = not bool(self.mask.all())

    def _trim(self, count: int) -> None:
        """Drop the first positions, which are padding in every row."""
        if not count:
            return
        self.mask = self.mask[:, count:]
        left = self.longest
        for layer in self.cache.layers:
            if not layer.is_initialized:
                continue
            kept = min(layer.keys.shape[-2], left)
            layer.keys, layer.values = layer.keys[:, :, -kept:], layer.values[:, :, -kept:]
            if isinstance(layer, DynamicSlidingWindowLayer):
                layer.cumulative_length = left


def _join(ours: DynamicLayer, theirs: DynamicLayer) -> None:
    ours.keys = _stacked(ours.keys, theirs.keys)
    ours.values = _stacked(ours.values, theirs.values)
    if isinstance(ours, DynamicSlidingWindowLayer):
        ours.cumulative_length = max(ours.cumulative_length, theirs.cumulative_length)


def _move(states: torch.Tensor, rows: Sequence[int], gap: int, count: int) -> None:
    """Move rows of [rows, heads, positions, width] right, over a gap before the last `count`."""
    indices = torch.tensor(rows, device=states.device)
    end = states.shape[2] - count
    states[indices, :, gap:end] = states[indices, :, : end - gap]


def _stacked(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return two [rows, heads, positions, width] as one, the shorter filled up at its beginning."""
    longest = max(first.shape[-2], second.shape[-2])
    both = [pad(each, (0, 0, longest - each.shape[-2], 0)) for each in (first, second)]
    return torch.cat(both)
