"""All flows: whoever imports one of them from here can load a saved model of any."""

from tfp_realnvp.flows.few_shot_flow import FewShotFlow
from tfp_realnvp.flows.flow_with_options import FlowWithOptions
from tfp_realnvp.flows.given_flow import GivenFlow
from tfp_realnvp.flows.identity_flow import IdentityFlow
from tfp_realnvp.flows.image_flow import ImageFlow
from tfp_realnvp.flows.multiscale import MultiscaleRealNVP
from tfp_realnvp.flows.realnvp import RealNVP
from tfp_realnvp.flows.residual_flow import ResidualFlow

__all__ = [
    "BY_NAME",
    "FewShotFlow",
    "GivenFlow",
    "IdentityFlow",
    "ImageFlow",
    "MultiscaleRealNVP",
    "RealNVP",
    "ResidualFlow",
]

# the flows that `train` knows
BY_NAME: dict[str, type[FlowWithOptions]] = {
    flow.options_class.name: flow for flow in (MultiscaleRealNVP, RealNVP, ResidualFlow)
}
