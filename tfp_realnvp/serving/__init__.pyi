from .limits import MAX_IMAGES as MAX_IMAGES
from .saved_model import export as export
from .saved_model import export_versions as export_versions
from .signatures import Signature as Signature
from .signatures import make_signatures as make_signatures
