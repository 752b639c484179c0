from .draw import draw_files as draw_files
from .score import score_files as score_files
