import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfp_realnvp

TOP = Path(__file__).parent.parent


def test_public_names_are_there_and_lazy():
    names = set(tfp_realnvp.__all__) - {"Dataset"}
    assert all(hasattr(tfp_realnvp, name) for name in names)
    code = "import sys, tfp_realnvp; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_old_name_of_image_sets():
    with pytest.warns(FutureWarning, match="`ImageSet` now"):
        assert tfp_realnvp.Dataset is tfp_realnvp.ImageSet


@pytest.mark.slow
def test_readme_python_runs(tmp_path):
    """The Python of the README, as a user would paste it."""
    blocks = re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    assert blocks
    subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], check=True, cwd=tmp_path, capture_output=True
    )
