"""Records of matrix decompositions and solvers: they run on the host, through LAPACK by way of NumPy, on stacks of matrices.

Gradients follow M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation" (2008),
called Giles below, where nothing else is said. Matrices of a stack are the last two axes; `T` is their transpose.
"""

import numpy as np

from graphkeras.ir.errors import DataError, DTypeError, GradientError, ShapeError
from graphkeras.ir.registry import ErrorSample, NoGradient, Sample, register_op
from graphkeras.ir.samples import any_dtype, any_stack, definite, integers, regular, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.inference import join_dim, require_dtype, require_equal_dtypes, scalar_like, show
from graphkeras.ops.matrices import (
    double_lower,
    half_diagonal,
    inverse_gaps,
    matmul,
    product,
    rows_taken,
    scaled_columns,
    scaled_rows,
    symmetric,
    transposed,
    tril,
    triu,
    unit_like,
    with_diagonal,
)
from graphkeras.trace import prim

FLOAT = ("float32", "float64")
_COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}


def require_matrices(op, specs, square=()):
    """Raises four-part errors unless all specs are float matrices, those at the positions `square` square ones."""
    require_dtype(op, specs, FLOAT, "float32 or float64")
    require_equal_dtypes(op, specs)
    for position, spec in enumerate(specs):
        if spec.rank < 2:
            raise ShapeError(
                f"{op}: needs matrices, not rank {spec.rank}.", got=show(specs), expected="rank 2 or more: (..., M, N)",
                mend="add axes with ops.expand_dims",
            )  # fmt: skip
        if position in square and join_dim(*spec.shape[-2:]) is None:
            raise ShapeError(
                f"{op}: the matrices are not square ({spec.shape[-2]} rows, {spec.shape[-1]} columns).",
                got=show(specs), expected="shape (..., M, M)", mend="use ops.lstsq, ops.qr or ops.svd for other matrices",
            )  # fmt: skip


def _smaller(m, n):
    """The smaller of two sizes: known where one of them is."""
    if isinstance(m, int) and isinstance(n, int):
        return min(m, n)
    if m == n:
        return m
    raise ShapeError(
        f"the smaller of the sizes {m} and {n} is known only when the program runs.", got=f"{m}, {n}", expected="sizes known now",
        mend="give both sizes of the matrices in Input(shape=...)",
    )  # fmt: skip


def guarded(op, function, mend):
    """`function`, with NumPy's LinAlgError as a four-part error."""

    def eager(*arrays, **attrs):
        with np.errstate(all="ignore"):
            try:
                return function(*arrays, **attrs)
            except np.linalg.LinAlgError as error:
                raise DataError(
                    f"{op}: {error}.", got=", ".join(f"{a.dtype}{list(a.shape)}" for a in arrays), expected="a matrix that has one",
                    mend=mend,
                ) from error  # fmt: skip

    return eager


def _square_infer(op):
    def infer(x):
        require_matrices(op, [x], square=(0,))
        return x

    return infer


def _varied(make, rectangular=False, **choices):
    """A rule for random stacks of matrices from a maker `(shape, dtype) -> callable`; `choices` gives the values of attributes."""

    def vary(rng):
        rows, columns = (int(v) for v in rng.integers(1, 6, 2))
        shape = (*any_stack(rng), rows, columns if rectangular else rows)
        attrs = {name: values[rng.integers(len(values))] for name, values in choices.items()}
        return Sample((make(shape, any_dtype(rng, FLOAT)),), attrs)

    return vary


def _system_varied(**choices):
    def vary(rng):
        rows, columns, stack, dtype = int(rng.integers(1, 6)), int(rng.integers(0, 4)), any_stack(rng), any_dtype(rng, FLOAT)
        attrs = {name: values[rng.integers(len(values))] for name, values in choices.items()}
        return Sample((regular((*stack, rows, rows), dtype), uniform((*stack, rows, columns), dtype=dtype)), attrs)

    return vary


_NOT_SQUARE = ErrorSample((uniform((2, 3)),), {}, raises=ShapeError, match="not square")
_NOT_MATRIX = ErrorSample((uniform((3,)),), {}, raises=ShapeError, match="needs matrices")
_NOT_FLOAT = ErrorSample((integers((3, 3)),), {}, raises=DTypeError, match="needs float32 or float64 elements")
_ERRORS = [_NOT_SQUARE, _NOT_MATRIX, _NOT_FLOAT]
_CUBIC = lambda x, *rest, outputs, **attrs: x.size * x.shape[-1]


# ---- triangular systems, Cholesky -----------------------------------------------------------------------------------


def _systems_infer(op):
    def infer(a, b, **attrs):
        require_matrices(op, [a, b], square=(0,))
        if a.rank != b.rank or any(join_dim(p, q) is None for p, q in zip((*a.shape[:-2], a.shape[-1]), b.shape[:-1])):
            raise ShapeError(
                f"{op}: matrices {a.shape} do not fit right-hand sides {b.shape}.", got=show([a, b]),
                expected="(..., M, M) and (..., M, K)", mend="add an axis to a single right-hand side",
            )  # fmt: skip
        return b

    return infer


def _solve_triangular_eager(a, b, *, lower, transpose):
    """Substitution, row after row."""
    a = a.swapaxes(-1, -2) if transpose else a
    n = a.shape[-1]
    x = np.zeros_like(b)
    forward = lower != transpose
    with np.errstate(all="ignore"):
        for i in range(n) if forward else reversed(range(n)):
            done = slice(0, i) if forward else slice(i + 1, n)
            rest = b[..., i, :] - np.matmul(a[..., i, None, done], x[..., done, :])[..., 0, :]
            x[..., i, :] = rest / a[..., i, i, None]
    return x


def _solve_triangular_vjp(ct, a, b, x, *, lower, transpose):
    # A x = b:  gb = A^-T ct,  gA = -gb x^T within the triangle (Giles 2.3.1)
    gb = prim.solve_triangular(a, ct, lower=lower, transpose=not transpose)
    ga = -(matmul(x, gb, transpose_b=True) if transpose else matmul(gb, x, transpose_b=True))
    return (tril if lower else triu)(ga), gb


register_op(
    "solve_triangular",
    kind="host",
    batch=batching.leading,
    infer=_systems_infer("solve_triangular"),
    eager=_solve_triangular_eager,
    vjp=_solve_triangular_vjp,
    cost=lambda a, b, outputs, *, lower, transpose: b.size * a.shape[-1],
    vary=_system_varied(lower=(False, True), transpose=(False, True)),
    samples=[
        Sample((regular((3, 3)), uniform((3, 2))), {"lower": True, "transpose": False}),
        Sample((regular((2, 4, 4)), uniform((2, 4, 1))), {"lower": False, "transpose": False}),
        Sample((regular((3, 3)), uniform((3, 2))), {"lower": True, "transpose": True}),
        Sample((regular((3, 3)), uniform((3, 0))), {"lower": False, "transpose": True}),
    ],
    errors=[
        ErrorSample((uniform((3, 3)), uniform((2, 2))), {"lower": True, "transpose": False}, raises=ShapeError, match="do not fit"),
    ],
)


def _cholesky_eager(x):
    return np.linalg.cholesky((x + x.swapaxes(-1, -2)) / 2)


def _cholesky_vjp(ct, x, y):
    # gA = L^-T phi(L^T gL) L^-1, made symmetric; phi: lower triangle with half the diagonal
    # (Murray 2016, "Differentiation of the Cholesky decomposition", equation 10).
    inner = half_diagonal(matmul(y, tril(ct), transpose_a=True))
    left = prim.solve_triangular(y, inner, lower=True, transpose=True)  # L^-T P
    whole = prim.solve_triangular(y, transposed(left), lower=True, transpose=True)  # (L^-T P L^-1)^T
    return (symmetric(whole),)


register_op(
    "cholesky",
    kind="host",
    batch=batching.leading,
    infer=_square_infer("cholesky"),
    eager=guarded("cholesky", _cholesky_eager, "add a small multiple of the unit matrix, or check that the input is symmetric"),
    vjp=_cholesky_vjp,
    cost=_CUBIC,
    vary=_varied(definite),
    samples=[Sample((definite((3, 3)),)), Sample((definite((2, 2, 4, 4)),)), Sample((definite((1, 1)),))],
    errors=_ERRORS,
)


# ---- general square matrices ----------------------------------------------------------------------------------------


def _solve_vjp(ct, a, b, x):
    gb = prim.solve(transposed(a), ct)  # Giles 2.3.1
    return -matmul(gb, x, transpose_b=True), gb


register_op(
    "solve",
    kind="host",
    batch=batching.leading,
    infer=_systems_infer("solve"),
    eager=guarded("solve", np.linalg.solve, "use ops.lstsq for singular systems"),
    vjp=_solve_vjp,
    cost=_CUBIC,
    vary=_system_varied(),
    samples=[Sample((regular((3, 3)), uniform((3, 2)))), Sample((regular((2, 4, 4)), uniform((2, 4, 1))))],
    errors=[ErrorSample((uniform((3, 3)), uniform((2, 2))), {}, raises=ShapeError, match="do not fit")],
)
register_op(
    "inv",
    kind="host",
    batch=batching.leading,
    infer=_square_infer("inv"),
    eager=guarded("inv", np.linalg.inv, "use ops.pinv for singular matrices"),
    vjp=lambda ct, x, y: (-matmul(matmul(y, ct, transpose_a=True), y, transpose_b=True),),  # Giles 2.2.3
    cost=_CUBIC,
    vary=_varied(regular),
    samples=[Sample((regular((3, 3)),)), Sample((regular((2, 1, 4, 4)),))],
    errors=_ERRORS,
)


def _det_infer(x):
    require_matrices("det", [x], square=(0,))
    return TensorSpec(x.shape[:-2], x.dtype)


def _per_matrix(value, x):
    """One number per matrix as (..., 1, 1)."""
    return prim.reshape(value, shape=(*x.spec.shape[:-2], 1, 1))


register_op(
    "det",
    kind="host",
    batch=batching.leading,
    infer=_det_infer,
    eager=lambda x: np.asarray(np.linalg.det(x), x.dtype),
    vjp=lambda ct, x, y: (_per_matrix(ct * y, x) * transposed(prim.inv(x)),),  # Giles 2.2.4; fails at singular matrices
    cost=_CUBIC,
    vary=_varied(regular),
    samples=[Sample((regular((3, 3)),)), Sample((regular((2, 4, 4)),))],
    errors=_ERRORS,
)


def _slogdet_infer(x):
    spec = _det_infer(x)
    return spec, spec


register_op(
    "slogdet",
    kind="host",
    batch=batching.leading,
    infer=_slogdet_infer,
    eager=lambda x: tuple(np.asarray(part, x.dtype) for part in np.linalg.slogdet(x)),
    vjp=lambda ct, x, sign, value: (None if ct[1] is None else _per_matrix(ct[1], x) * transposed(prim.inv(x)),),
    cost=_CUBIC,
    vary=_varied(regular),
    samples=[Sample((regular((3, 3)),)), Sample((regular((2, 4, 4)),))],
    errors=_ERRORS,
)


def _lu_infer(x):
    require_matrices("lu_factor", [x])
    return x, TensorSpec(x.shape[:-1], "int32")


def _lu_eager(x):
    """Gaussian elimination with the largest pivot of each column, for the whole stack at once."""
    m, n = x.shape[-2:]
    lu = x.reshape(int(np.prod(x.shape[:-2])), m, n).copy()
    stack = np.arange(len(lu))
    order = np.tile(np.arange(m, dtype=np.int32), (len(lu), 1))
    with np.errstate(all="ignore"):
        for k in range(min(m, n)):
            pivot = k + np.argmax(np.abs(lu[:, k:, k]), axis=1)
            for rows in (lu, order):
                rows[stack, pivot], rows[:, k] = rows[:, k].copy(), rows[stack, pivot].copy()
            head = lu[:, k, k]
            factor = np.where(head[:, None] == 0, 0, lu[:, k + 1 :, k] / np.where(head == 0, 1, head)[:, None])
            lu[:, k + 1 :, k] = factor
            lu[:, k + 1 :, k + 1 :] -= factor[:, :, None] * lu[:, k, None, k + 1 :]
    places = np.argsort(order, axis=1).astype(np.int32)
    return lu.reshape(x.shape), places.reshape(x.shape[:-1])


def _lu_vjp(ct, x, lu, places):
    # P A = L U:  gA = P^T L^-T [strict lower of L^T gL + upper of gU U^T] U^-T  (Walter and Lehmann 2012, section 3.4)
    if ct[0] is None:
        return (None,)
    if join_dim(*x.spec.shape[-2:]) is None:
        raise GradientError(
            "lu_factor: the gradient is known for square matrices only.", got=show([x.spec]), expected="(..., M, M)"
        )
    low, up = tril(lu, -1) + unit_like(lu), triu(lu)
    inner = tril(matmul(low, tril(ct[0], -1), transpose_a=True), -1)
    inner = inner + triu(matmul(triu(ct[0]), up, transpose_b=True))
    left = prim.solve_triangular(low, inner, lower=True, transpose=True)  # L^-T M
    whole = transposed(prim.solve_triangular(up, transposed(left), lower=False, transpose=False))  # (U^-1 (L^-T M)^T)^T
    return (rows_taken(whole, places),)


register_op(
    "lu_factor",
    kind="host",
    batch=batching.leading,
    infer=_lu_infer,
    eager=_lu_eager,
    vjp=_lu_vjp,
    cost=_CUBIC,
    vary=_varied(lambda shape, dtype: uniform(shape, dtype=dtype)),
    samples=[Sample((uniform((3, 3)),)), Sample((uniform((2, 4, 4)),)), Sample((uniform((0, 2, 2)),))],
    errors=[_NOT_MATRIX, _NOT_FLOAT],
)


# ---- eigenvalues ----------------------------------------------------------------------------------------------------


def _eigh_infer(x):
    require_matrices("eigh", [x], square=(0,))
    return TensorSpec(x.shape[:-1], x.dtype), x


def _eigh_vjp(ct, x, w, v):
    # gA = V (diag(gw) + F o (V^T gV)) V^T with F[i, j] = 1 / (w[j] - w[i])  (Giles 3.1); only the lower triangle is read.
    # Infinite where eigenvalues are equal and the vectors are used.
    inner = None if ct[0] is None else with_diagonal(ct[0])
    if ct[1] is not None:
        turned = inverse_gaps(w) * matmul(v, ct[1], transpose_a=True)
        inner = turned if inner is None else inner + turned
    return (None if inner is None else double_lower(product(v, inner, transposed(v))),)


register_op(
    "eigh",
    kind="host",
    batch=batching.leading,
    infer=_eigh_infer,
    eager=guarded("eigh", lambda x: tuple(np.linalg.eigh(x)), "check the input for values that are not finite"),
    vjp=_eigh_vjp,
    cost=_CUBIC,
    vary=_varied(regular),
    samples=[Sample((regular((3, 3)),)), Sample((regular((2, 4, 4)),))],
    errors=_ERRORS,
)


def _eig_infer(x):
    require_matrices("eig", [x], square=(0,))
    dtype = _COMPLEX_OF[x.dtype]
    return TensorSpec(x.shape[:-1], dtype), x.with_dtype(dtype)


register_op(
    "eig",
    kind="host",
    batch=batching.leading,
    infer=_eig_infer,
    eager=guarded(
        "eig",
        lambda x: tuple(np.asarray(part, _COMPLEX_OF[x.dtype.name]) for part in np.linalg.eig(x)),
        "check the input for values that are not finite",
    ),
    vjp=NoGradient("gradients of complex numbers are not formed; ops.eigh has one"),
    cost=_CUBIC,
    vary=_varied(lambda shape, dtype: uniform(shape, dtype=dtype)),
    samples=[Sample((uniform((3, 3)),)), Sample((uniform((2, 4, 4)),))],
    errors=_ERRORS,
)


# ---- orthogonal factors ---------------------------------------------------------------------------------------------


def _qr_infer(x, *, complete):
    require_matrices("qr", [x])
    m, n = x.shape[-2:]
    k = m if complete else _smaller(m, n)
    return x.with_shape((*x.shape[:-2], m, k)), x.with_shape((*x.shape[:-2], k, n))


def _qr_vjp(ct, x, q, r, *, complete):
    # M >= N: gA = (gQ + Q copyltu(R gR^T - gQ^T Q)) R^-T, where copyltu mirrors the lower triangle
    # (Walter, Lehmann, Lamour 2012; Seeger et al. 2017, "Auto-Differentiating Linear Algebra", section 4.3).
    # M < N: A = (X Y), R = (U V), so V = Q^T Y: X from the first columns, with gQ + Y gV^T (Roberts and Roberts 2020).
    m, n = x.spec.shape[-2:]
    if not isinstance(m, int) or not isinstance(n, int) or (complete and m > n):
        raise GradientError(
            "qr: the gradient is known for the reduced form and sizes known when the graph is built.", got=show([x.spec]),
            expected="mode='reduced', or M <= N",
        )  # fmt: skip
    gq, gr = ct
    if m >= n:
        return (_tall_qr(gq, gr, q, r),)
    part = [_columns(v, 0, m) for v in (r, *(() if gr is None else (gr,)))]
    rest = _columns(x, m, n)
    if gr is None:
        return (prim.concatenate(_tall_qr(gq, None, q, part[0]), rest * scalar_like(0, rest), axis=x.ndim - 1),)
    gv = _columns(gr, m, n)
    moved = matmul(rest, gv, transpose_b=True)
    gx = _tall_qr(moved if gq is None else gq + moved, part[1], q, part[0])
    return (prim.concatenate(gx, matmul(q, gv), axis=x.ndim - 1),)


def _columns(x, start, stop):
    rank = x.ndim
    starts = (*(0,) * (rank - 1), start)
    return prim.slice(x, starts=starts, stops=(*x.spec.shape[:-1], stop), strides=(1,) * rank)


def _tall_qr(gq, gr, q, r):
    inner = None
    if gr is not None:
        inner = matmul(r, gr, transpose_b=True)
    if gq is not None:
        turned = matmul(gq, q, transpose_a=True)
        inner = -turned if inner is None else inner - turned
    mirrored = tril(inner) + transposed(tril(inner, -1))
    left = matmul(q, mirrored)
    left = left if gq is None else gq + left
    return transposed(prim.solve_triangular(r, transposed(left), lower=False, transpose=False))  # left R^-T


register_op(
    "qr",
    kind="host",
    batch=batching.leading,
    infer=_qr_infer,
    eager=lambda x, *, complete: tuple(np.linalg.qr(x, "complete" if complete else "reduced")),
    vjp=_qr_vjp,
    cost=lambda x, outputs, *, complete: 2 * x.size * x.shape[-1],
    vary=_varied(regular, rectangular=True, complete=(False, True)),
    samples=[
        Sample((regular((4, 3)),), {"complete": False}),
        Sample((regular((2, 3, 3)),), {"complete": False}),
        Sample((regular((2, 4)),), {"complete": False}),
        Sample((regular((2, 4)),), {"complete": True}),
        Sample((regular((3, 3)),), {"complete": True}),
    ],
    errors=[ErrorSample((uniform((3,)),), {"complete": False}, raises=ShapeError, match="needs matrices")],
)


def _svd_infer(x, *, full_matrices):
    require_matrices("svd", [x])
    m, n = x.shape[-2:]
    k = _smaller(m, n)
    rows, columns = (m, n) if full_matrices else (k, k)
    lead = x.shape[:-2]
    return x.with_shape((*lead, m, rows)), x.with_shape((*lead, k)), x.with_shape((*lead, columns, n))


def _svd_vjp(ct, x, u, s, vh, *, full_matrices):
    # Townsend 2016, "Differentiating the singular value decomposition", with F[i, j] = 1 / (s[j]^2 - s[i]^2):
    # gA = [U (F o (U^T gU - gU^T U)) S + (1 - U U^T) gU S^-1] V^T + U diag(gs) V^T
    #    + U [S (F o (V^T gV - gV^T V)) V^T + S^-1 gV^T (1 - V V^T)]
    gu, gs, gvh = ct
    m, n = x.spec.shape[-2:]
    if full_matrices and m != n:
        if (gu is not None and m > n) or (gvh is not None and n > m):
            raise GradientError(
                "svd: the vectors beyond the singular values are not unique, so they have no gradient.", got=show([x.spec]),
                expected="full_matrices=False", mend="use ops.svd(x, full_matrices=False)",
            )  # fmt: skip
        u, s, vh = prim.svd(x, full_matrices=False)
    inner = None if gs is None else with_diagonal(gs)
    total = None
    gaps = inverse_gaps(prim.square(s))
    if gu is not None:
        turned = matmul(u, gu, transpose_a=True)
        part = scaled_columns(gaps * (turned - transposed(turned)), s)
        inner = part if inner is None else inner + part
        if full_matrices is False and m > n:
            total = matmul(scaled_columns(gu - matmul(u, turned), scalar_like(1, s) / s), vh)
    if gvh is not None:
        turned = matmul(vh, gvh, transpose_b=True)  # V^T gV
        part = scaled_rows(gaps * (turned - transposed(turned)), s)
        inner = part if inner is None else inner + part
        if full_matrices is False and n > m:
            beyond = gvh - matmul(transposed(turned), vh)
            part = matmul(u, scaled_rows(beyond, scalar_like(1, s) / s))
            total = part if total is None else total + part
    if inner is not None:
        core = product(u, inner, vh)
        total = core if total is None else total + core
    return (total,)


_SVD_MEND = "check the input for values that are not finite"

register_op(
    "svd",
    kind="host",
    batch=batching.leading,
    infer=_svd_infer,
    eager=guarded("svd", lambda x, *, full_matrices: tuple(np.linalg.svd(x, full_matrices=full_matrices)), _SVD_MEND),
    vjp=_svd_vjp,
    cost=lambda x, outputs, *, full_matrices: 10 * x.size * x.shape[-1],
    vary=_varied(regular, rectangular=True, full_matrices=(False, True)),
    samples=[
        Sample((regular((4, 3)),), {"full_matrices": False}),
        Sample((regular((2, 3, 3)),), {"full_matrices": True}),
        Sample((regular((2, 4)),), {"full_matrices": False}),
    ],
    errors=[ErrorSample((uniform((3,)),), {"full_matrices": False}, raises=ShapeError, match="needs matrices")],
)


def _singular_values_infer(x):
    return _svd_infer(x, full_matrices=False)[1]


def _singular_values_vjp(ct, x, s):
    u, _, vh = prim.svd(x, full_matrices=False)
    return (matmul(scaled_columns(u, ct), vh),)


register_op(
    "singular_values",
    kind="host",
    batch=batching.leading,
    infer=_singular_values_infer,
    eager=guarded("singular_values", lambda x: np.linalg.svd(x, compute_uv=False), _SVD_MEND),
    vjp=_singular_values_vjp,
    cost=_CUBIC,
    vary=_varied(regular, rectangular=True),
    samples=[Sample((regular((4, 3)),)), Sample((regular((2, 3, 4)),))],
    errors=[_NOT_MATRIX, _NOT_FLOAT],
)
