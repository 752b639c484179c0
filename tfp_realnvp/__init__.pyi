from .datasets import Dataset as Dataset
from .datasets import ImageSet as ImageSet
from .datasets import LabelledImages as LabelledImages
from .flows import ImageFlow as ImageFlow
from .flows import MultiscaleRealNVP as MultiscaleRealNVP
from .flows import RealNVP as RealNVP
from .flows import ResidualFlow as ResidualFlow
