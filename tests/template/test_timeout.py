"""A model that hangs ends its process, and nothing else does."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from template.timeout import time_limit

PROJECT = Path(__file__).parents[2]


def run(program):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
    )


def test_the_stacks_of_all_threads_are_the_last_words():
    done = run(
        """
        import threading, time
        from template.timeout import time_limit

        def hang_in_a_kernel():
            with time_limit(0.5):
                time.sleep(30)

        def predict_well():
            for _ in range(100):
                with time_limit(20):
                    time.sleep(0.02)

        threads = [threading.Thread(target=each) for each in (hang_in_a_kernel, predict_well)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:00.5")
    assert "in hang_in_a_kernel" in done.stderr
    assert "in predict_well" in done.stderr


def test_calls_in_time_end_nothing():
    done = run(
        """
        import time
        from template.timeout import time_limit

        for _ in range(5):
            with time_limit(0.4), time_limit(60):
                time.sleep(0.2)
        try:
            with time_limit(0.1):
                raise ValueError
        except ValueError:
            time.sleep(0.3)
        print("well")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", "")


def test_without_a_limit_there_is_none():
    with time_limit(None):
        time.sleep(0.01)


@pytest.mark.parametrize("method", ["load_model", "predict"])
def test_a_batch_job_whose_model_hangs_ends_with_its_stack(tmp_path, method):
    (tmp_path / "t.csv").write_text("a\n1\n")
    (tmp_path / "hanging.py").write_text(
        textwrap.dedent(
            f"""
            import time
            from template.model import BaseModel

            class Hanging(BaseModel):
                def load_model(self, path):
                    return True

                def predict(self, df):
                    return df["a"].to_numpy()

                def {method}(self, *args):
                    time.sleep(50)
            """
        )
    )
    done = run(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from template.run import run
        run(["--runner=FnApiRunner", "--input={tmp_path}/t.csv", "--output={tmp_path}/o/p",
             "--model_path=none", "--model_class=hanging:Hanging", "--device=cpu",
             "--predict_timeout_sec=1"])
        """
    )
    assert done.returncode == 1
    assert "Timeout (0:00:01)!" in done.stderr
    assert f"in {method}" in done.stderr
