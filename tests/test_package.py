import subprocess
import sys

import pytest

import tfp_realnvp


def test_public_names_are_there_and_lazy():
    names = set(tfp_realnvp.__all__) - {"Dataset"}
    assert all(hasattr(tfp_realnvp, name) for name in names)
    code = "import sys, tfp_realnvp; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_old_name_of_image_sets():
    with pytest.warns(FutureWarning, match="`ImageSet` now"):
        assert tfp_realnvp.Dataset is tfp_realnvp.ImageSet
