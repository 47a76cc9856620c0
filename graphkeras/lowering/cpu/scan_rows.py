"""Scans whose rows never meet (`schedule.rows`): one row of the table, whose units are blocks of rows that run through all steps.

The kernels of a step stay what they are; a driver calls them for the rows of its block:

    for each block of rows, for each step:
        set the addresses of the step; call each kernel for the part of its range that belongs to the block

Addresses differ from step to step, and threads are not in the same step, so each thread works with a copy of the kernels' argument
blocks in its scratch. A product's tiles are as high as a block. No number depends on where blocks begin.
"""

from dataclasses import replace

from graphkeras.ir.dims import divide_exactly
from graphkeras.lowering.cpu import gemm
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, Computed, KernelAddress, LoweredKernel

RECORD = 5
"""Cells of a record: a cell, its addresses in the first, the odd and the even steps, and how far two steps go (see `control`)."""
BLOCK_ROWS = 16
"""The most rows of a block: its gates and its state stay in the first cache."""
_LEAST_BLOCK_ROWS = 4  # those of the lowest strip of a product
_FIXED, _KERNEL = 9, 4  # cells of the driver before its lists, and of each kernel in the last of them
_SOURCE = f"""def kernel(args, lo, hi, scratch):
    moved = scratch - args[4]
    shared = ptr_i64(args[4])
    own = ptr_i64(scratch)
    for k in range(args[5]):
        own[k] = shared[k]
    records = {_FIXED} + args[6]
    kernels = records + {RECORD} * args[7]
    for k in range({_FIXED}, records):
        cell = ptr_i64(args[k] + moved)
        cell[0] = cell[0] + moved
    steps = args[3] if ptr_i64(args[0])[0] == 0 else 0
    blocks = (args[1] + args[2] - 1) // args[2]
    after = scratch + 8 * args[5]
    for unit in range(lo, hi):
        first = unit * args[2]
        end = min(first + args[2], args[1])
        for i in range(steps):
            for r in range(records, kernels, {RECORD}):
                x = args[r + 1]
                if i > 0:
                    x = args[r + 2 + (i & 1 ^ 1)] + (i >> 1) * args[r + 4]
                ptr_i64(args[r] + moved)[0] = x
            for k in range(kernels, kernels + {_KERNEL} * args[8], {_KERNEL}):
                each = args[k + 2]
                if each > 0:
                    call_kernel(args[k], args[k + 1] + moved, first * each, end * each, after)
                else:
                    for j in range(args[k + 3]):
                        call_kernel(args[k], args[k + 1] + moved, j * blocks + unit, j * blocks + unit + 1, after)
"""


def block_rows(rows: int) -> int:
    """Rows of a block: an even number of equal blocks, so that two threads have the same to do; whole strips of a product."""
    blocks = 2 * max(1, -(-rows // (2 * BLOCK_ROWS)))
    return -(-max(rows, 1) // (blocks * _LEAST_BLOCK_ROWS)) * _LEAST_BLOCK_ROWS


def block_count(rows: int) -> int:
    """Number of blocks."""
    return -(-rows // block_rows(rows))


def cut_into_blocks(kernels: list[LoweredKernel], rows) -> None:
    """Makes the kernels of a step ones that are called, and the tiles of their products as high as a block."""
    for kernel in kernels:
        words = _words(kernel)
        if words is not None:
            height, count = Computed(block_rows, (rows,)), Computed(block_count, (rows,))
            panels, width = gemm.panels_of(words["n"], _dtype_of(kernel))
            words.update(down=count, across=-(-panels * width // gemm.COLUMNS), rise=height)
            kernel.args = tuple(words.values())


def driver(group, name: str, kernels: list[LoweredKernel], records: list) -> LoweredKernel:
    """The kernel that runs blocks of rows through all steps.

    Args:
        group: of the scan.
        name: of the driver.
        kernels: of a step, in order, after `cut_into_blocks`; called from now on.
        records: of the cells that move with the step.
    """
    rows, steps = group.rows, group.nodes[0].attrs["length"]
    cells = sum(-(-(1 + len(kernel.args)) // 8) * 8 for kernel in kernels)
    inner = [BlockAddress(kernel, i) for kernel in kernels for i, arg in enumerate(kernel.args, 1) if isinstance(arg, BlockAddress)]
    called, scratch, flops, nbytes = [], 0, 0, 0
    for kernel in (k for k in kernels if not k.called):
        words = _words(kernel)
        parts = (0, words["across"]) if words is not None else (divide_exactly(kernel.units, rows), 0)
        called += [KernelAddress(kernel), BlockAddress(kernel), *parts]
        scratch = max(scratch, _number(kernel.scratch))
        flops, nbytes = kernel.flops + flops, kernel.bytes + nbytes
    for kernel in kernels:
        kernel.called = True
    first = BlockAddress(kernels[0])
    lists = (cells, len(inner), len(records) // RECORD, len(called) // _KERNEL, *inner, *records, *called)
    args = (rows, Computed(block_rows, (rows,)), steps, first, *lists)
    made = LoweredKernel(
        name, group.kind, _SOURCE, args, Computed(block_count, (rows,)), group, scratch=scratch + 8 * cells, flops=steps * flops,
        bytes=steps * nbytes,
    )  # fmt: skip
    made.until = made
    return made


def address_after(path, steps: int, address: Address) -> Address:
    """Where a carried value lies after the last step."""
    source, offset = path.first if steps == 0 else path.odd if steps % 2 else path.even
    return replace(address, source=source, offset=address.offset + offset + steps // 2 * path.stride)


def _dtype_of(kernel) -> str | None:
    return next((d for d in gemm.K_BLOCK if kernel.body == gemm.source(d)), None)


def _words(kernel) -> dict | None:
    """The arguments of a product by their names, None for other kernels."""
    return dict(zip(gemm.ARGUMENTS[1:], kernel.args, strict=True)) if _dtype_of(kernel) else None


def _number(size) -> int:
    return size.function(*size.dims) if isinstance(size, Computed) else size
