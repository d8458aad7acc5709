"""For documents that nobody speaks: words, meaning, and one step from the best passage to what it names."""

from anamnos.recall.channels.dense import DenseChannel
from anamnos.recall.channels.keyword import KeywordChannel
from anamnos.recall.channels.late import LateChannel
from anamnos.recall.channels.second_hop import SecondHopChannel
from anamnos.recall.channels.title_link import TitleLinkChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe

PASSAGES_V1 = Recipe(
    name="passages-v1",
    source=(
        "ours; what the second hop does and how much words weigh was chosen on questions made up from 2Wiki's passages"
        " (arXiv:2011.01060) and on NQ-open (arXiv:1906.00300), the other weights are those of zsum-v3, of which that"
        " of title_link was chosen on HotpotQA and MuSiQue"
    ),
    channels=(
        WeightedChannel(KeywordChannel("spread"), 0.25),
        WeightedChannel(DenseChannel("turn"), 0.4),
    ),
    late=(
        WeightedChannel(SecondHopChannel(), 0.3),
        WeightedChannel(TitleLinkChannel(), 0.7),
        WeightedChannel(LateChannel("spread"), 3.1),
        WeightedChannel(LateChannel("turn"), 2.5),
    ),
)
