"""What to do about an op type that is not supported."""

from __future__ import annotations

import onnx

from sccc.diagnostics import nearest
from sccc.frontend.handlers import HANDLERS, ML

OPS_BY_ADVICE = {
    "train with Relu, LeakyRelu, Clip, Tanh, Sigmoid, HardSigmoid or HardSwish instead": (
        "Celu Elu Erf Exp Gelu Mish PRelu Selu Sin Cos Softplus Softsign Swish ThresholdedRelu"
    ),
    "control flow has no hardware: export for a fixed input, so that it is resolved": "If Loop Scan SequenceMap",
    "export in QDQ form: QuantizeLinear and DequantizeLinear around float ops": (
        "QLinearMatMul MatMulInteger ConvInteger DynamicQuantizeLinear"
    ),
    "recurrent layers are not supported, only feed-forward networks": "LSTM GRU RNN",
    "enlarge images with Resize (nearest, by whole numbers) and a Conv behind it": "ConvTranspose Col2Im MaxUnpool",
    "use a plain convolution": "DeformConv CausalConvWithState",
    "pool with MaxPool, AveragePool or their global forms": (
        "LpPool GlobalLpPool MaxRoiPool RoiAlign ReduceMax ReduceMin ReduceSum ReduceL1 ReduceL2 ReduceProd ReduceSumSquare"
    ),
    "end the network at the scores before it: the order of the classes is the same": "LogSoftmax Hardmax TopK ArgMin",
    "train with BatchNormalization, which becomes part of the weights": (
        "LRN LayerNormalization GroupNormalization MeanVarianceNormalization InstanceNormalization LpNormalization RMSNormalization"
    ),
    "attention multiplies two tensors computed at run time, which is not supported": "Attention",
    "train a neural network instead (MLPClassifier, MLPRegressor)": (
        "TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor SVMClassifier SVMRegressor LinearClassifier "
        "LinearRegressor"
    ),
    "normalise the data before the network, or scale each input by a constant": "Normalizer Imputer OneHotEncoder",
}
ADVICE = {op: advice for advice, ops in OPS_BY_ADVICE.items() for op in ops.split()}


def advise(domain: str, op_type: str) -> str:
    """Advice for an op type that no handler supports."""
    if domain not in ("", ML):
        return "export with standard ONNX operators only; model-local functions are inlined by onnx.inliner"
    if op_type in ADVICE:
        return ADVICE[op_type]
    known = sorted(op for d, op in HANDLERS if d == domain)
    if onnx.defs.has(op_type, domain):
        return "supported: " + ", ".join(known)
    return nearest(op_type, known)
