"""A chain of stages as a user runs it, counted at the server: asked once, on one server, and only what an edit changes again."""

from pathlib import Path

import pytest

from support.runs import Campaign


def chain(root: Path, rows: int = 30) -> Campaign:
    """`words` are judged, the good ones rewritten; the stub's every verdict is yes."""
    campaign = Campaign(root, rows=rows, env={"STUB_ANSWER": "yes"})
    asked = {"models": ["stub"], "sampling": {"temperature": 0, "max_tokens": 8}}
    campaign.raw["datasets"] |= {
        "judged": {
            **{"from": {"dataset": "words", "model": "stub"}, "answer": {"choice": ["yes", "no"]}},
            **{"prompt": "Judge <j-{{ id }}> {{ text }}", **asked},
        },
        "rewritten": {
            **{"from": "judged", "where": "answer == 'yes' and word != 'w3'"},
            **{"prompt": "Rewrite <r-{{ id }}> {{ words.text }}", **asked},
        },
    }
    campaign.write_config()
    return campaign


@pytest.mark.timeout(900)
def test_a_chain_is_asked_once_and_an_edit_asks_its_descendants(tmp_path: Path) -> None:
    campaign = chain(tmp_path)
    first = campaign.run(timeout=400)
    assert first.returncode == 0, first.stdout[-4000:]
    ids = [f"p{number}" for number in range(30)]
    assert campaign.received() == dict.fromkeys([*ids, *(f"j-{i}" for i in ids), *(f"r-{i}" for i in ids if i != "p3")], 1)
    order = campaign.log.read_text().split()
    assert next(at for at, marker in enumerate(order) if marker[0] == "j") < max(order.index(i) for i in ids)
    assert len(list((campaign.root / "logs").rglob("*-engine-*.log"))) == 1
    again = campaign.run(timeout=400)
    assert "Nothing to be done" in again.stdout
    campaign.write_prompts([{"id": i, "word": "edited" if i == "p11" else f"w{i[1:]}"} for i in ids])
    edited = campaign.run(timeout=400)
    assert edited.returncode == 0, edited.stdout[-4000:]
    assert campaign.log.read_text().split()[len(order) :] == ["p11", "j-p11", "r-p11"]
    rows = campaign.responses()
    assert rows.groupby("dataset", observed=True).size().to_dict() == {"judged": 30, "rewritten": 29, "words": 30}
