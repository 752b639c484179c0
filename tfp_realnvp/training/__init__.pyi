from .config import TrainingConfig as TrainingConfig
from .goals import GOALS as GOALS
from .goals import config_for as config_for
from .runs import resume as resume
from .runs import train as train
