from .config import TrainingConfig as TrainingConfig
from .session import resume as resume
from .session import train as train
