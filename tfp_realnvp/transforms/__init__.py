"""What a coupling does to each entry, given its parameters: increasing functions of one number."""

from tfp_realnvp.transforms.affine import Affine
from tfp_realnvp.transforms.shared_spline import SharedQuadraticSpline
from tfp_realnvp.transforms.spline import RationalQuadraticSpline
from tfp_realnvp.transforms.transform import Transform

__all__ = ["Affine", "RationalQuadraticSpline", "SharedQuadraticSpline", "Transform"]
