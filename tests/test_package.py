import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfp_realnvp

TOP = Path(__file__).parent.parent


def test_public_names_are_there_and_lazy():
    assert all(hasattr(tfp_realnvp, name) for name in tfp_realnvp.__all__)
    code = "import sys, tfp_realnvp; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_readme_python_runs(tmp_path):
    """The Python of the README, as a user would paste it."""
    blocks = re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    assert blocks
    subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], check=True, cwd=tmp_path, capture_output=True
    )
