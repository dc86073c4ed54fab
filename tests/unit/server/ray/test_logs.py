"""The last words of Ray on a node, as its agent repeats them, and what is found in them."""

from pathlib import Path

from campaign.explain import findings
from campaign.server.ray.logs import last_words

RAYLET = """[2026-11-01 12:00:00,123 I 12 12] (raylet) main.cc:301: Raylet received SIGTERM
[2026-11-01 12:00:00,124 E 12 12] (raylet) worker_pool.cc:581: Some workers have not registered
"""


def test_each_line_has_its_process_and_info_is_left_out(tmp_path: Path) -> None:
    logs = tmp_path / "session_1" / "logs"
    logs.mkdir(parents=True)
    (tmp_path / "session_latest").symlink_to("session_1")
    (logs / "raylet.out").write_text(RAYLET)
    (logs / "worker-5a-01000000-77.err").write_text("x" * 20_000 + "\nValueError: odd\n")
    (logs / "dashboard.log").write_text("not of interest\n")
    lines = list(last_words(tmp_path))
    assert lines[1:] == ["(RayWorker pid=77) ValueError: odd", RAYLET.splitlines()[1]]
    (finding,) = findings("\n".join(lines))
    assert (finding.cause, finding.depth) == ("ValueError: odd.", 3)


def test_a_ray_that_never_was_says_nothing(tmp_path: Path) -> None:
    assert list(last_words(tmp_path)) == []
