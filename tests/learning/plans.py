"""A small round plan that the learning tests share."""

from datetime import UTC, datetime

from federation.basis import SlotSize
from federation.wire.rounds import Example, Objective, Precision, RoundPlan, SchemeName

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
SLOTS = ("layers.0.qkv", "layers.0.down", "layers.1.up")
SIZES = {"layers.0.qkv": SlotSize(8, 12), "layers.0.down": SlotSize(14, 6), "layers.1.up": SlotSize(8, 10)}


def small_plan(**fields) -> RoundPlan:
    terms = {
        "plan_id": "plan-1",
        "season_id": "season-1",
        "version": 0,
        "base": "b" * 64,
        "start": "",
        "scheme": SchemeName.FFA_LORA,
        "precision": Precision.FLOAT16,
        "objective": Objective(preference=0.0, ratings=0.0, beta=0.1),
        "seed": "autumn",
        "rank": 4,
        "slots": SLOTS,
        "learning_rate": 1e-2,
        "max_steps": 6,
        "stop_loss": 0.0,
        "anchors": (Example(prompt="Як?", answer="Ду."),),
        "min_labels": 1,
        "max_labels": 64,
        "max_norm": 1.0,
        "issued_at": NOW,
        "closes_at": NOW,
    }
    return RoundPlan(**(terms | fields))
