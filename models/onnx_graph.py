"""A thin writer for ONNX graphs: one call per node, constants stored once.

It adds nothing to ONNX; it only keeps the bookkeeping (names, initialisers,
external data) out of the files that describe a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
# Opset 22 is the newest that the nodes used here need; IR 10 is what onnxruntime 1.30 reads.
OPSETS = (helper.make_opsetid("", 22), helper.make_opsetid(MICROSOFT, 1))
IR_VERSION = 10
TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
}


class GraphWriter:
    """Collects nodes in order; `model()` gives the finished ONNX model."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, str] = {}
        self._initializers: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._renamed: dict[str, str] = {}
        self._count = 0

    def input(self, name: str, kind: str, shape: Sequence[int | str]) -> str:
        """Declare a graph input; a string in `shape` names an axis of any length."""
        self._inputs.append(helper.make_tensor_value_info(name, TYPES[kind], shape))
        return name

    def output(self, source: str, name: str, kind: str, shape: Sequence[int | str]) -> None:
        """Give a node's output out of the graph; it is called `name` from then on."""
        self._renamed[source] = name
        self._outputs.append(helper.make_tensor_value_info(name, TYPES[kind], shape))

    def nodes(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: int,
        *,
        omitted: Sequence[int] = (),
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Add a node and return the names of its outputs. An empty input name leaves that input out.

        The outputs whose places are in `omitted` are not asked for; their names are empty.
        """
        names = ["" if index in omitted else f"v{self._count + index}" for index in range(outputs)]
        self._count += outputs
        node = helper.make_node(op, list(inputs), names, name=f"{op}_{len(self._nodes)}", domain=domain, **attributes)
        self._nodes.append(node)
        return names

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return its name."""
        return self.nodes(op, inputs, 1, domain=domain, **attributes)[0]

    def constant(self, value: NDArray[Any]) -> str:
        """Store an array in the model and return its name; equal arrays are stored once."""
        array = np.asarray(value, order="C")
        key = f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """Store a vector of int64, as shapes and axes are."""
        return self.constant(np.array(values, dtype=np.int64))

    def floats(self, value: Any) -> str:
        """Store anything array-like as float32."""
        return self.constant(np.asarray(value, dtype=np.float32))

    def external(self, name: str, kind: str, shape: Sequence[int], location: str, offset: int, size_bytes: int) -> str:
        """Declare an initialiser whose bytes stand in another file."""
        tensor = TensorProto(name=name, data_type=TYPES[kind], dims=list(shape), data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", str(offset)), ("length", str(size_bytes))):
            tensor.external_data.add(key=key, value=value)
        self._initializers.append(tensor)
        return name

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Finish the graph. Raises `onnx.checker.ValidationError` for a graph that ONNX does not allow."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [self._renamed.get(name, name) for name in names]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._initializers)
        model = helper.make_model(graph, opset_imports=list(OPSETS), ir_version=IR_VERSION, producer_name="limpet")
        helper.set_model_props(model, dict(metadata))
        return model
