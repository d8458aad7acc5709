"""Keyword and dense search at several grain sizes, summed as z-scores."""

from anamnos.recall.channels.dense import DenseChannel
from anamnos.recall.channels.keyword import KeywordChannel
from anamnos.recall.channels.speaker import SpeakerChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe

ZSUM_V1 = Recipe(
    name="zsum-v1",
    source="ours; weights chosen leave-one-conversation-out on LoCoMo (arXiv:2402.17753)",
    channels=(
        WeightedChannel(KeywordChannel("turn"), 0.5),
        WeightedChannel(KeywordChannel("window"), 1.0),
        WeightedChannel(KeywordChannel("session"), 1.0),
        WeightedChannel(DenseChannel("turn"), 0.5),
        WeightedChannel(DenseChannel("window"), 1.0),
        WeightedChannel(SpeakerChannel(), 1.0),
    ),
)
