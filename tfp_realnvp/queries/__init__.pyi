from .fill import fill_missing as fill_missing
from .masks import NAMES as NAMES
from .masks import check_mask as check_mask
from .masks import named_mask as named_mask
