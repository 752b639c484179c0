from .config import MODELS as MODELS
from .config import FewShotConfig as FewShotConfig
from .stages import few_shot as few_shot
from .sweeps import SWEPT as SWEPT
from .sweeps import sweep as sweep
