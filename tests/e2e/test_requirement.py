"""The first program of the requirement runs exactly as it stands there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = """\
# 导入核心模块
from openautoglm import AutoGLM, PromptTemplate

# 初始化引擎,指定本地模型路径
engine = AutoGLM(model_path="./models/glm-large-chinese")

# 定义结构化提示模板
template = PromptTemplate(
    template="请根据以下内容生成摘要:{content}",
    input_variables=["content"]
)

# 执行推理
result = engine.run(template.format(content="人工智能正在快速发展..."))
print(result)  # 输出生成结果
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return subprocess.run(
        [sys.executable, program.name],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("weights", ["bin", "safetensors"])
def test_the_program_runs_on_a_glm_folder(
    weights: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(tiny_model("glm", weights), tmp_path / "models/glm-large-chinese")
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_without_the_folder_the_program_ends_in_an_error_that_names_it(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "[OAG301]" in done.stderr
    assert "./models/glm-large-chinese" in done.stderr
    assert "fix:" in done.stderr
