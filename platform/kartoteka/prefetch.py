"""Asking memory for what will be read soon: compiled loops that jump about a large array wait less."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_LINE = 64


@intrinsic
def prefetch_row(typing: Any, matrix: Any, row: Any) -> Any:
    """In a compiled function: begin to load a row of a C-contiguous matrix, which must be one of it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        size = builder.extract_value(array.strides, 0)
        start = builder.gep(builder.bitcast(array.data, byte), [builder.mul(arguments[1], size)])
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        line = ir.Constant(size.type, _LINE)
        lines = builder.sdiv(builder.add(size, ir.Constant(size.type, _LINE - 1)), line)
        with cgutils.for_range(builder, lines) as loop:
            place = builder.gep(start, [builder.mul(loop.index, line)])
            builder.call(fetch, [place, *(ir.Constant(flag, value) for value in (0, 3, 1))])  # to read, keep, data
        return context.get_dummy_value()

    return types.void(matrix, types.int64), emit
