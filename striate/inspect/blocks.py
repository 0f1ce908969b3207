"""The blocks of a network that can be removed one at a time, and the two ways through a residual one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.replacing import Forward, Instead, run_as, with_sum
from striate.inspect.watching import module_of, replaced
from striate.layers.modes import in_evaluation

SHORTCUTS = ("shortcut", "downsample", "skip")  # names of a module on a block's shortcut


@dataclass(frozen=True)
class Block:
    """A block that can be removed.

    name: of the module. before, after: shapes [C, H, W] of input and output. residual: it adds its input, or the output
    of the module `shortcut` in it ("": the input itself), to the output of its branch.
    """

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    residual: bool
    shortcut: str = ""


@torch.no_grad()
def find_blocks(net: nn.Module, images: Tensor) -> list[Block]:
    """The blocks of `net`, in the order in which they run on `images` [N, C, H, W]; one image is enough.

    A block is a link of an `nn.Sequential` that holds a convolution, takes and gives a map [N, C, H, W], and runs once;
    not the first layer, which sees the image. Left out are blocks that are not residual and whose output has fewer
    channels or another size than a whole number of strides gives: nothing could take their place.
    Raises RequestError for a network without blocks.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def note(name: str, x: Tensor, y: Tensor) -> Tensor:
        seen.setdefault(name, []).append((x, y))
        return y

    with in_evaluation(net), ExitStack() as hooks:
        for name in _links(net):
            hooks.enter_context(replaced(net, name, lambda x, y, name=name: note(name, x, y)))  # type: ignore[misc]
        net(images)
    once = {name: calls[0] for name, calls in seen.items() if len(calls) == 1}
    found = [_block(net, name, x, y) for name, (x, y) in once.items() if x.data_ptr() != images.data_ptr()]
    blocks = [block for block in found if block is not None]
    if not blocks:
        raise RequestError(
            f"{type(net).__name__} has no blocks that could be removed: links of an nn.Sequential with a convolution"
        )
    return blocks


def _links(net: nn.Module, path: str = "") -> Iterator[str]:
    """The names of links with a convolution; a chain within a chain is a part of it."""
    chain = isinstance(net, nn.Sequential) and type(net).forward is nn.Sequential.forward
    for name, child in net.named_children():
        own = f"{path}{name}"
        inner = isinstance(child, nn.Sequential) and type(child).forward is nn.Sequential.forward
        if chain and not inner:
            if any(isinstance(module, nn.Conv2d) for module in child.modules()):
                yield own
        else:
            yield from _links(child, f"{own}.")


def _block(net: nn.Module, name: str, x: Tensor, y: Tensor) -> Block | None:
    if not isinstance(y, Tensor) or x.ndim != 4 or y.ndim != 4:
        return None
    module = module_of(net, name)
    before, after = tuple(x.shape[1:]), tuple(y.shape[1:])
    named = next((part for part in SHORTCUTS if isinstance(getattr(module, part, None), nn.Module)), "")
    for shortcut in dict.fromkeys((named, "")):
        if _adds(module, shortcut, x):
            return Block(name, before, after, True, shortcut)
    return Block(name, before, after, False) if before == after or _stride(before, after) else None


def _adds(module: nn.Module, shortcut: str, x: Tensor) -> bool:
    """Whether the block has a sum of this shortcut and something else."""
    sums: list[Tensor] = []

    def note(one: Tensor, other: Tensor) -> Tensor:
        sums.append(one)
        return one + other

    with in_evaluation(module):
        with_sum(module, shortcut, note)(module.forward, x)
    return len(sums) == 1


def _stride(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """The stride at which the input, with zeros for new channels, has the output's shape; 0: there is none."""
    stride = -(-before[1] // after[1])
    fits = all(-(-old // stride) == new for old, new in zip(before[1:], after[1:], strict=True))
    return stride if fits and after[0] >= before[0] else 0


def removal(net: nn.Module, block: Block) -> Instead:
    """What takes the place of a removed block, for `run_as`.

    Of a residual block its branch is removed: the shortcut, and what follows the sum, stay. A block without a shortcut
    becomes the identity; where the shape changes it is sub-sampled, with zeros for the new channels.
    Source: Veit, Wilber, Belongie 2016, arXiv:1605.06431, section 4.1.
    """
    if block.residual:
        return with_sum(module_of(net, block.name), block.shortcut, lambda shortcut, branch: shortcut)
    stride = _stride(block.before, block.after)

    def instead(forward: Forward, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, block.after[0] - block.before[0]))

    return instead


@torch.no_grad()
def branch_responses(net: nn.Module, images: Tensor, blocks: list[Block] | None = None) -> dict[str, float]:
    """The standard deviation of each residual block's branch before the sum, over all values for `images` [N, C, H, W].

    Of blocks without a shortcut: of the block's output. Source: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Figure 7.
    """
    blocks = find_blocks(net, images[:1]) if blocks is None else blocks
    found: dict[str, float] = {}

    def branch(name: str, one: Tensor, other: Tensor) -> Tensor:
        found[name] = float(other.std())
        return one + other

    def output(name: str, forward: Forward, x: Tensor) -> Tensor:
        y = forward(x)
        found[name] = float(y.std())
        return y

    instead: dict[str, Instead] = {}
    for block in blocks:
        instead[block.name] = (
            with_sum(module_of(net, block.name), block.shortcut, lambda x, y, name=block.name: branch(name, x, y))  # type: ignore[misc]
            if block.residual
            else lambda forward, x, name=block.name: output(name, forward, x)  # type: ignore[misc]
        )
    with in_evaluation(net), run_as(net, instead):
        net(images)
    return found
