"""ONNX -> nn module. `load_onnx` is the whole interface.

| file | subject |
|---|---|
| `reader` | the file: is it a model, which opsets |
| `tensors` | constant tensors, inside the file or beside it, within limits |
| `names` | names as they are shown, and as identifiers |
| `bindings` | what the name of an ONNX value stands for while a graph is read |
| `layout` | where the batch axis is, through Reshape, Transpose, broadcasting |
| `images` | images in ONNX's layout, and the windows over them |
| `handlers` | the table of supported op types, filled by the files below |
| `linear`, `convolution`, `pooling`, `elementwise`, `activations` | one handler per op type that computes |
| `joining`, `shaping`, `resizing`, `passing`, `quantization`, `endings` | one handler per op type that does not |
| `folding` | nodes that read constants only are computed here and now |
| `graph` | the walk over the nodes, which collects every problem |
| `inference` | stand-ins for the results of a node that was refused |
| `advice` | what to do about an op type that is not supported |
"""

from sccc.frontend.graph import load_onnx

__all__ = ["load_onnx"]
