"""Write the two graphs of all-MiniLM-L6-v2 that ship with the package. Needs ``onnx``; developers only.

    python tools/make_minilm_graph.py [target folder]

The graphs hold no weights: each is declared "external", and ``anamnos.embed.minilm`` hands the arrays over
when the session is made. The same onnx version writes the same bytes. The T tokens of a batch lie in one row;
a layer is:

    x (T, 384) -> query, key, value -> attention -> dense -> + x -> LayerNorm -> y
    y (T, 384) -> dense (T, 1536) -> gelu -> dense (T, 384) -> + y -> LayerNorm -> the next x

Source: BERT, arXiv:1810.04805; MiniLM, arXiv:2002.10957. Pooling is that of sentence-transformers: the mean
over the tokens, then the L2 norm, which cancels the division by the number of tokens: the graph only sums.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY, POSITIONS, SMALL = 384, 1536, 6, 12, 30522, 512, 48
EPSILON = 1e-12
MICROSOFT = "com.microsoft"  # the domain of the operators that ONNX Runtime adds to the standard
FLOAT, INT8, UINT8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8
INT32, INT64 = TensorProto.INT32, TensorProto.INT64
DATA = Path(__file__).parents[1] / "src" / "anamnos" / "embed" / "data"


class Graph:
    """A graph under construction, with linear maps as plain float32 products."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def op(self, kind: str, output: str | list[str], *inputs: str, **attributes: Any) -> str:
        """Add a node, named after its (first) output, and return that name."""
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def constant(self, name: str, dtype: int, shape: Sequence[int], values: Sequence[float]) -> str:
        self.initializers.append(helper.make_tensor(name, dtype, shape, values))
        return name

    def weight(self, name: str, shape: Sequence[int], dtype: int = FLOAT) -> str:
        """Declare a weight whose values come when the session is made."""
        tensor = TensorProto(name=name, data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="weights")
        self.initializers.append(tensor)
        return name

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        """Return x W of shape (T, outputs), without the bias, which the next node adds."""
        return self.op("MatMul", name, x, self.weight(f"{name}.weight", (inputs, outputs)))

    def add_and_norm(self, product: str, bias: str, residual: str, name: str) -> str:
        """Return LayerNorm(product + bias + residual).

        In steps: ONNX Runtime's one-node SkipLayerNormalization is 5 times slower on CPU (not vectorised).
        """
        biased = self.op("Add", f"{name}.biased", product, self.weight(bias, (HIDDEN,)))
        total = self.op("Add", f"{name}.sum", biased, residual)
        gain, shift = self.weight(f"{name}.weight", (HIDDEN,)), self.weight(f"{name}.bias", (HIDDEN,))
        return self.op("LayerNormalization", name, total, gain, shift, epsilon=EPSILON)

    def embeddings(self) -> str:
        """Return the tokens' start vectors (T, 384); also make ``lengths`` (texts,) and ``shape_3d``."""
        self.constant("token_row", INT64, [2], [-1, HIDDEN])
        self.constant("hidden", INT64, [1], [HIDDEN])
        ids = self.op("Cast", "ids", "input_ids", to=INT32)
        mask = self.op("Cast", "mask", "attention_mask", to=INT32)
        start = self.op(
            "EmbedLayerNormalization",
            ["embedded", "lengths"],
            ids,
            "",
            self.weight("embeddings.word_embeddings.weight", (VOCABULARY, HIDDEN)),
            self.weight("embeddings.position_embeddings.weight", (POSITIONS, HIDDEN)),
            "",
            self.weight("embeddings.LayerNorm.weight", (HIDDEN,)),
            self.weight("embeddings.LayerNorm.bias", (HIDDEN,)),
            mask,
            domain=MICROSOFT,
            epsilon=EPSILON,
        )
        self.op("Concat", "shape_3d", self.op("Shape", "shape_2d", "input_ids"), "hidden", axis=0)
        return self.op("Reshape", "tokens", start, "token_row")

    def attention(self, x: str, name: str) -> str:
        """Return the heads' outputs side by side, (T, 384). No text attends to its padding."""
        joint = self.linear(x, f"{name}.qkv", HIDDEN, 3 * HIDDEN)
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        self.op("Split", parts, joint, axis=1, num_outputs=3)
        parts = [self.op("Reshape", f"{part}.3d", part, "shape_3d") for part in parts]
        bias = self.weight(f"{name}.qkv.bias", (3 * HIDDEN,))
        heads = self.op(
            "MultiHeadAttention", f"{name}.heads", *parts, bias, "lengths", domain=MICROSOFT, num_heads=HEADS
        )
        return self.op("Reshape", f"{name}.tokens", heads, "token_row")

    def layer(self, x: str, name: str) -> str:
        """Return the vectors (T, 384) after one layer."""
        dense = f"{name}.attention.output.dense"
        mixed = self.linear(self.attention(x, f"{name}.attention"), dense, HIDDEN, HIDDEN)
        y = self.add_and_norm(mixed, f"{dense}.bias", x, f"{name}.attention.output.LayerNorm")
        up, down = f"{name}.intermediate.dense", f"{name}.output.dense"
        inner = self.linear(y, up, HIDDEN, INNER)
        bias = self.weight(f"{up}.bias", (INNER,))
        active = self.op("BiasGelu", f"{up}.gelu", inner, bias, domain=MICROSOFT)
        outer = self.linear(active, down, INNER, HIDDEN)
        return self.add_and_norm(outer, f"{down}.bias", y, f"{name}.output.LayerNorm")

    def pool(self, x: str) -> str:
        """Return one unit vector per text (texts, 384): the sum over its tokens, normalised.

        Also make ``token_vectors`` (texts, tokens, 48), a small unit vector per token.
        """
        self.constant("token_axis", INT64, [1], [1])
        tokens = self.op("Reshape", "last_hidden_state", x, "shape_3d")
        weights = self.op("Cast", "token_weights", "attention_mask", to=FLOAT)
        mask = self.op("Unsqueeze", "mask_3d", weights, "token_axis")
        total = self.op("Squeeze", "total", self.op("MatMul", "total_3d", mask, tokens), "token_axis")
        centred = self.op("Sub", "centred_tokens", tokens, self.weight("tokens.mean", (HIDDEN,)))
        small = self.op("MatMul", "small_tokens", centred, self.weight("tokens.map", (HIDDEN, SMALL)))
        self.op("LpNormalization", "token_vectors", small, axis=-1, p=2)
        return self.op("LpNormalization", "sentence_embedding", total, axis=-1, p=2)

    def model(self) -> ModelProto:
        x = self.embeddings()
        for i in range(LAYERS):
            x = self.layer(x, f"encoder.layer.{i}")
        names = ("input_ids", "attention_mask")
        ids = [helper.make_tensor_value_info(name, INT64, ["texts", "tokens"]) for name in names]
        vectors = helper.make_tensor_value_info(self.pool(x), FLOAT, ["texts", HIDDEN])
        of_tokens = [
            helper.make_tensor_value_info(name, FLOAT, ["texts", "tokens", size])
            for name, size in (("last_hidden_state", HIDDEN), ("token_vectors", SMALL))
        ]
        graph = helper.make_graph(self.nodes, "all-MiniLM-L6-v2", ids, [vectors, *of_tokens], self.initializers)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="anamnos")


class Int8Graph(Graph):
    """Linear maps as u8 x s8 products: one scale per output of a weight and per token of an activation.

    A scale per token, where the usual dynamic quantisation has one per tensor, keeps the vector of a text
    independent of the texts that share its batch. Activations lie around 128 in u8: s8 x s8 is slow on x86.
    """

    def embeddings(self) -> str:
        tokens = super().embeddings()
        self.constant("one", FLOAT, [], [1.0])
        self.constant("1/127", FLOAT, [], [1 / 127])
        self.constant("zero_point", UINT8, [], [128])
        self.constant("feature_axis", INT64, [1], [1])
        rows = self.op("Shape", "number_of_tokens", tokens, start=0, end=1)
        self.op("Expand", "zero_points", "zero_point", rows)
        return tokens

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        largest = self.op("ReduceMax", f"{name}.largest", self.op("Abs", f"{name}.abs", x), "feature_axis")
        scale = self.op("Mul", f"{name}.token_scale", largest, "1/127")
        scales = self.op("Squeeze", f"{name}.token_scales", scale, "feature_axis")
        quantized = self.op("QuantizeLinear", f"{name}.quantized", x, scales, "zero_points", axis=0)
        weight = self.weight(f"{name}.weight", (inputs, outputs), INT8)
        weight_scale = self.weight(f"{name}.scale", (outputs,))
        product = self.op(
            "MatMulIntegerToFloat",
            f"{name}.product",
            *(quantized, weight, "one", weight_scale, "zero_point"),
            domain=MICROSOFT,
        )
        return self.op("Mul", name, product, scale)


def main(target: Path = DATA) -> None:
    """Write ``minilm-float32.onnx`` and ``minilm-int8.onnx`` into ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    for precision, graph in (("float32", Graph()), ("int8", Int8Graph())):
        data = graph.model().SerializeToString(deterministic=True)
        (target / f"minilm-{precision}.onnx").write_bytes(data)
        print(f"minilm-{precision}.onnx: {len(data)} bytes, {len(graph.nodes)} nodes")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
