"""The one idea of the losses by scale: in a basis of real, orthonormal waves a Sobolev norm is diagonal.

`transform` gives the coefficients, on tensors of any engine; `grid` says which axes are one; `targets` makes
what a loss is given ready for it; `quadrature` weights scattered points.
"""
