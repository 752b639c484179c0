from .all_flows import BY_NAME as BY_NAME
from .all_flows import FewShotFlow as FewShotFlow
from .all_flows import GivenFlow as GivenFlow
from .all_flows import IdentityFlow as IdentityFlow
from .all_flows import ImageFlow as ImageFlow
from .all_flows import MultiscaleRealNVP as MultiscaleRealNVP
from .all_flows import RealNVP as RealNVP
from .all_flows import ResidualFlow as ResidualFlow
