"""Pictures that answer: on a static page in plain JavaScript, with a kernel as live views."""

from memformer_lite.extras import extra

with extra("book"):
    from memformer_lite.widgets.attention_explorer import AttentionExplorer
    from memformer_lite.widgets.bucket_explorer import BucketExplorer
    from memformer_lite.widgets.memory_explorer import MemoryExplorer
    from memformer_lite.widgets.memory_time_lapse import MemoryTimeLapse
    from memformer_lite.widgets.replay_stage import ReplayStage

__all__ = [
    "AttentionExplorer",
    "BucketExplorer",
    "MemoryExplorer",
    "MemoryTimeLapse",
    "ReplayStage",
]
