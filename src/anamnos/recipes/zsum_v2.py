"""Words spread over the turns around them, meaning, and cheap cues of who speaks, who asks, and when."""

from anamnos.recall.channels.dates import DateChannel
from anamnos.recall.channels.dense import DenseChannel
from anamnos.recall.channels.first_person import FirstPersonChannel
from anamnos.recall.channels.keyword import KeywordChannel
from anamnos.recall.channels.question import QuestionChannel
from anamnos.recall.channels.reply import ReplyChannel
from anamnos.recall.channels.speaker import SpeakerChannel
from anamnos.recall.channels.time_words import TimeWordsChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe

ZSUM_V2 = Recipe(
    name="zsum-v2",
    source=(
        "ours; weights rounded from a fit on LoCoMo (arXiv:2402.17753) and REALTALK, each conversation scored with"
        " weights from the others. Here without sentence vectors: their weight is with the turn's"
    ),
    channels=(
        WeightedChannel(KeywordChannel("spread"), 0.5),
        WeightedChannel(DenseChannel("turn"), 0.4),
        WeightedChannel(DenseChannel("window"), 0.1),
        WeightedChannel(SpeakerChannel(), 1.0),
        WeightedChannel(FirstPersonChannel(), 1.0),
        WeightedChannel(QuestionChannel(), -0.7),
        WeightedChannel(ReplyChannel(), 0.4),
        WeightedChannel(TimeWordsChannel(when_asked=False), 0.4),
        WeightedChannel(TimeWordsChannel(when_asked=True), 1.2),
        WeightedChannel(DateChannel("month"), 3.2),
        WeightedChannel(DateChannel("day"), 2.3),
    ),
)
