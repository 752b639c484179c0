from .config import TrainingConfig as TrainingConfig
from .runs import resume as resume
from .runs import train as train
